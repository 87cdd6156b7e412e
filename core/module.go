package core

import (
	"encoding/json"
	"time"
)

// Module is one version of a compiled Wasm file that was uploaded, described
// itself in the sandbox and was stored by its digest.
type Module struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"`
	Digest   string    `json:"digest" doc:"sha256 of the file, hex"`
	Size     int64     `json:"size_bytes"`
	Manifest Manifest  `json:"manifest"`
	Grant    Grant     `json:"grant" doc:"what it may reach; at most what it wants"`
	Active   bool      `json:"active" doc:"the version that checks use"`
	Created  time.Time `json:"created"`
	By       string    `json:"by,omitempty"`
}

// Manifest is what a Module says of itself.
type Manifest struct {
	ABI     string          `json:"abi" doc:"tocsin/1"`
	Name    string          `json:"name"`
	Version string          `json:"version"`
	Doc     string          `json:"doc,omitempty"`
	Author  string          `json:"author,omitempty"`
	Offers  []string        `json:"offers" doc:"collector"`
	Schema  json.RawMessage `json:"config_schema,omitempty" doc:"JSON schema of its configuration"`
	Samples []SampleDecl    `json:"samples,omitempty"`
	Wants   Grant           `json:"wants,omitzero"`
}

// Grant is what a Module may reach. Zero grants nothing but the default
// limits.
type Grant struct {
	HTTP    []string `json:"http,omitempty" doc:"scheme://host:port, host may begin with *. or be *, port may be *"`
	Private bool     `json:"private,omitempty" doc:"the hosts named may be loopback or private addresses"`
	Limits  Limits   `json:"limits,omitzero"`
}

// Limits bound one run of a Module. A zero field is the default.
type Limits struct {
	Memory       int64 `json:"memory_bytes,omitempty" doc:"linear memory; default 16 MiB, at most 256 MiB"`
	Fuel         int64 `json:"fuel,omitempty" doc:"instructions; default 1,000,000,000"`
	Output       int64 `json:"output_bytes,omitempty" doc:"default 256 KiB"`
	Logs         int64 `json:"log_bytes,omitempty" doc:"default 64 KiB"`
	HTTPCalls    int   `json:"http_calls,omitempty" doc:"default 20"`
	HTTPResponse int64 `json:"http_response_bytes,omitempty" doc:"default 1 MiB"`
}
