package core

import (
	"bytes"
	"encoding/json"
	"time"
	"unicode/utf8"
)

// Module is one version of code that was uploaded: a compiled Wasm file that
// described itself in the sandbox, or a Script. It is stored by its digest.
type Module struct {
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Number   int        `json:"number" doc:"1 for the first version that was uploaded under the name, 2 for the next"`
	Kind     ModuleKind `json:"kind" enum:"wasm,script"`
	Digest   string     `json:"digest" doc:"sha256 of the file, hex"`
	Size     int64      `json:"size_bytes"`
	Manifest Manifest   `json:"manifest"`
	Grant    Grant      `json:"grant" doc:"what it may reach; at most what it wants"`
	Granted  time.Time  `json:"granted,omitzero" doc:"when the grant was reviewed; until then it does not run"`
	GrantBy  string     `json:"granted_by,omitempty" doc:"who reviewed the grant"`
	Active   bool       `json:"active" doc:"the version that wasm:NAME means, alias stable"`
	Created  time.Time  `json:"created"`
	By       string     `json:"by,omitempty"`
}

// ModuleKind tells what the file of a Module is.
type ModuleKind string

// The kinds of modules.
const (
	WasmModule   ModuleKind = "wasm"   // a compiled file; checks use it as wasm:NAME
	ScriptModule ModuleKind = "script" // JavaScript or TypeScript source; checks use it as script:NAME
)

// KindOf is the kind of a file: a script is text, without the first bytes of a
// compiled file.
func KindOf(file []byte) ModuleKind {
	if !bytes.HasPrefix(file, []byte("\x00asm")) && !bytes.ContainsRune(file, 0) && utf8.Valid(file) && len(bytes.TrimSpace(file)) > 0 {
		return ScriptModule
	}
	return WasmModule
}

// Manifest is what a Module says of itself.
type Manifest struct {
	ABI       string          `json:"abi" doc:"tocsin/1"`
	Name      string          `json:"name"`
	Version   string          `json:"version"`
	Doc       string          `json:"doc,omitempty"`
	Author    string          `json:"author,omitempty"`
	Offers    []string        `json:"offers" doc:"collector, action, function"`
	Schema    json.RawMessage `json:"config_schema,omitempty" doc:"JSON schema of its configuration"`
	Samples   []SampleDecl    `json:"samples,omitempty"`
	Action    *ActionDecl     `json:"action,omitempty" doc:"when it offers an action"`
	Functions []FunctionDecl  `json:"functions,omitempty" doc:"when it offers functions for expressions"`
	Wants     Grant           `json:"wants,omitzero"`
}

// ActionDecl describes the step of a rule that a Module carries out.
type ActionDecl struct {
	Schema  json.RawMessage `json:"config_schema,omitempty" doc:"JSON schema of the step's configuration"`
	Outputs []SampleDecl    `json:"outputs,omitempty" doc:"what later steps see"`
}

// FunctionDecl declares a pure function that expressions can call.
type FunctionDecl struct {
	Name    string       `json:"name"`
	Doc     string       `json:"doc,omitempty"`
	Params  []SampleDecl `json:"params"`
	Returns SampleType   `json:"returns"`
}

// Scopes of the values that a Module keeps, see Grant.KV.
const (
	KVAssignment = "assignment" // each assignment has its own
	KVModule     = "module"     // all assignments of the module, in all its versions, share them
)

// Grant is what a Module may reach. Zero grants nothing but the default
// limits.
type Grant struct {
	HTTP    []string `json:"http,omitempty" doc:"scheme://host:port, host may begin with *. or be *, port may be *"`
	TCP     []string `json:"tcp,omitempty" doc:"host:port for tcp and tls_info, host as in http, port may be *"`
	DNS     []string `json:"dns,omitempty" doc:"names that it may look up, as the host in http"`
	Private bool     `json:"private,omitempty" doc:"the hosts named may be loopback or private addresses"`
	KV      string   `json:"kv,omitempty" enum:",assignment,module" doc:"whose kept values it reads and writes"`
	Secrets []string `json:"secrets,omitempty" doc:"names of secrets that it may send without reading them"`
	Reveal  []string `json:"reveal,omitempty" doc:"names of secrets that it may read"`
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
	TCPCalls     int   `json:"tcp_calls,omitempty" doc:"connections, those of tls_info too; default 10"`
	TCPBytes     int64 `json:"tcp_bytes,omitempty" doc:"both ways; default 1 MiB"`
	DNSCalls     int   `json:"dns_calls,omitempty" doc:"default 20"`
	KVBytes      int64 `json:"kv_bytes,omitempty" doc:"kept in its scope, keys and values; default 64 KiB"`
}

// Sampling says of which runs the recordings are kept, so that they can be
// replayed.
type Sampling string

// The values of Sampling.
const (
	SampleFailures Sampling = "failures" // of runs that did not pass; the default
	SampleAll      Sampling = "all"
	SampleNone     Sampling = "none"
)

// Recording is everything that one run of a Module depended on: with it the
// run can be repeated bit for bit, without reaching anything. It holds handles
// of secrets, never their values; what reveal answered is masked.
type Recording struct {
	Format  int             `json:"format" doc:"1"`
	Module  string          `json:"module"`
	Version string          `json:"version"`
	Digest  string          `json:"digest"`
	Engine  string          `json:"engine,omitempty" doc:"of a script: digest of its interpreter"`
	Export  string          `json:"export" doc:"what was called"`
	Grant   Grant           `json:"grant"`
	Request json.RawMessage `json:"request"`
	Started time.Time       `json:"started"`
	Seed    uint64          `json:"seed"`
	Calls   []RecordedCall  `json:"calls" doc:"every answer of the host that the request does not imply, in order"`
	Outcome Outcome         `json:"outcome"`
	Output  []byte          `json:"output,omitempty" doc:"what the module wrote"`
	End     string          `json:"end,omitempty" doc:"code of what ended it early: limit_fuel, trap, ..."`
	Fuel    int64           `json:"fuel" doc:"instructions used"`
	Cut     bool            `json:"cut,omitempty" doc:"it was too large to keep whole and cannot be replayed"`
}

// RecordedCall is one answer of the host.
type RecordedCall struct {
	Name   string `json:"name" doc:"http, tcp, tls_info, dns, kv_get, kv_set, secret, reveal, clock, deadline"`
	Input  []byte `json:"input,omitempty" doc:"what the module asked"`
	Answer []byte `json:"answer,omitempty"`
	Value  int64  `json:"value,omitempty" doc:"of clock: nanoseconds since the run began"`
}
