package wasm

import (
	"encoding/json"

	"github.com/tocsin-io/tocsin/core"
)

// Info describes a stored module as a collector, by what it said of itself: it
// need not be loaded for that. The name is that by which checks use it.
func Info(m core.Module) core.CollectorInfo {
	schema := m.Manifest.Schema
	if len(schema) == 0 {
		schema = json.RawMessage(`{"type":"object"}`)
	}
	kind := m.Kind
	if kind == "" {
		kind = core.WasmModule
	}
	return core.CollectorInfo{
		Name: string(kind) + ":" + m.Name, Doc: m.Manifest.Doc, Schema: schema, Samples: m.Manifest.Samples,
		Facts: []core.SampleDecl{{Name: "detail", Type: core.AnySample, Doc: "what the module reports besides its samples"}},
	}
}
