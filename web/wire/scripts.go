package wire

import (
	"encoding/json"

	"github.com/tocsin-io/tocsin/core"
)

// ScriptSource is a script as it is written: POST /api/v1/scripts and
// /api/v1/scripts/validate. What its source exports as manifest counts before
// the other fields.
type ScriptSource struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Source  string            `json:"source" doc:"JavaScript or TypeScript"`
	Doc     string            `json:"doc,omitempty"`
	Schema  json.RawMessage   `json:"config_schema,omitempty" doc:"JSON schema of its configuration"`
	Samples []core.SampleDecl `json:"samples,omitempty"`
	Wants   *core.Grant       `json:"wants,omitempty"`
}

// ScriptCheck answers POST /api/v1/scripts/validate.
type ScriptCheck struct {
	OK       bool           `json:"ok"`
	Problems core.Problems  `json:"problems"`
	Manifest *core.Manifest `json:"manifest,omitempty" doc:"what it says of itself, when it is sound"`
}

// ScriptTest is POST /api/v1/scripts/test: a test run of a script that need not
// be saved. It may reach what it wants, unless grant says less.
type ScriptTest struct {
	TestRun
	Script ScriptSource `json:"script"`
}

// ScriptHelp answers GET /api/v1/scripts/api.
type ScriptHelp struct {
	Names    []ScriptName `json:"names" doc:"what the function of a script gets"`
	Template string       `json:"template" doc:"what a new script begins with"`
}

// ScriptName is something that a script can use.
type ScriptName struct {
	Name    string       `json:"name"`
	Type    string       `json:"type" doc:"type or signature, as a person reads it"`
	Doc     string       `json:"doc,omitempty"`
	Call    bool         `json:"call,omitempty" doc:"it is a function"`
	Members []ScriptName `json:"members,omitempty"`
}
