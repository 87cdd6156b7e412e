package wasm

import (
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// Offered is one function that guests may import, for tests.
type Offered struct {
	Module, Name string
	Type         meter.FuncType
}

// Functions lists what the host offers.
func Functions() []Offered {
	var out []Offered
	for _, f := range functions() {
		out = append(out, Offered{f.module, f.name, f.typ()})
	}
	return out
}

// Clean is clean.
func Clean(s string, limit int, keepLines bool) string { return clean(s, limit, keepLines) }

// ReadManifest is readManifest.
func ReadManifest(document []byte) (core.Manifest, error) { return readManifest(document) }

// ReadActed is readActed.
func ReadActed(output []byte, declared []core.SampleDecl) (Acted, error) {
	return readActed(output, declared)
}

// Restores says how instances of m go back to where a run begins: "fresh",
// "copied" or "mapped".
func Restores(m *Module) string { return restores(m.plan) }

func restores(p *plan) string {
	switch s := p.state; {
	case s == nil:
		return "fresh"
	case s.image.mapped():
		return "mapped"
	}
	return "copied"
}
