package wasm

import (
	"context"
	"os"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// Offered is one function that guests may import, for tests.
type Offered struct {
	Module, Name string
	Type         meter.FuncType
}

// Functions lists what the host offers to modules.
func Functions() []Offered {
	var out []Offered
	for _, f := range functions() {
		if f.module == engineModule {
			continue
		}
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

// ProcessTime is the processor time that this process has used: how busy the
// machine is does not count, as it does by the clock.
func ProcessTime() time.Duration { return processTime() }

// Restrain makes the kernel hold this process to what a compilation may use.
func Restrain(memory uint64, d time.Duration) error { return restrain(order{Memory: memory, Time: d}) }

// Overstepped is why a process so restrained has ended.
func Overstepped(memory uint64, d time.Duration, state *os.ProcessState, last string) error {
	return order{Memory: memory, Time: d}.overstepped(state, last)
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

// RestoreAs makes m go back in that way, before its first run.
func RestoreAs(m *Module, way string) error {
	s := m.plan.state
	switch {
	case way == "fresh":
		m.plan.state = nil
		s.image.close()
	case way == "copied" && s.image.mapped():
		s.image.close()
		s.image.backing = backing{}
	case way == "mapped" && !s.image.mapped():
		return s.image.back()
	}
	return nil
}

// CollectTwice is a run that finds its instance as another left it.
func CollectTwice(ctx context.Context, m *Module) core.Result {
	r := m.newRun(core.RunContext{})
	collect := export(abi.Collect)
	_, err := m.host.execute(ctx, m.plan, r, invoke{abi.Collect, func(ctx context.Context, guest api.Module) (uint32, error) {
		if code, err := collect.call(ctx, guest); err != nil {
			return code, err
		}
		r.output = nil
		return collect.call(ctx, guest)
	}})
	if err != nil {
		return m.failed(err)
	}
	result, err := readResponse(r.output, nil)
	if err != nil {
		return m.failed(err)
	}
	return result
}

// Taken is how many guests of h have a turn.
func Taken(h *Host) int { return cap(h.turns.free) - len(h.turns.free) }
