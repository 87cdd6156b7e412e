package wasm_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// function loads a command as a module with one function, f.
func function(tb testing.TB, h *wasm.Host, file []byte, returns core.SampleType) *wasm.Module {
	tb.Helper()
	m, err := h.Load(tb.Context(), core.Module{Name: "m", Version: "1", Manifest: core.Manifest{
		ABI: abi.Version, Name: "m", Version: "1", Offers: []string{abi.OffersFunction}, Functions: []core.FunctionDecl{{Name: "f", Returns: returns}},
	}}, file)
	if err != nil {
		tb.Fatalf("Load: %v", err)
	}
	tb.Cleanup(func() { _ = m.Close(tb.Context()) })
	return m
}

// A function gives the same value whenever it is called: its clock stands
// still, sleeping takes no time, and its random numbers are always the same.
func TestFunctionsArePure(t *testing.T) {
	h := newHost(t, wasm.Options{})
	m := function(t, h, buildC(t, "clock.c"), core.StringSample)
	at := time.Unix(1_700_000_000, 5)
	first, cost, err := m.Call(t.Context(), "f", wasm.Call{Now: at})
	if text, ok := first.(string); err != nil || !ok || !strings.HasPrefix(text, "1700000000.000000005 1 ") {
		t.Fatalf("Call = %v, %v", first, err)
	}
	began := time.Now()
	for range 20 {
		again, fuel, err := m.Call(t.Context(), "f", wasm.Call{Now: at})
		if err != nil || again != first || fuel != cost {
			t.Errorf("Call again = %v for %d, %v; want %v for %d", again, fuel, err, first, cost)
		}
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("20 calls took %s: they sleep", took)
	}
	if v, _, err := m.Call(t.Context(), "f", wasm.Call{}); err != nil || !strings.HasPrefix(v.(string), "0.000000000 ") {
		t.Errorf("Call without a time = %v, %v", v, err)
	}
}

// Functions that misbehave give an error, within their limits.
// acceptance 38.
func TestHostileFunctions(t *testing.T) {
	h := newHost(t, wasm.Options{})
	for flag, want := range map[string]string{
		"-DCASE=1": "f gave no value",
		"-DCASE=2": "its output is over its limit of 64 KiB",
		"-DCASE=3": "it ended itself with exit code 3: last words",
		"-DCASE=4": "it computed longer than its limit of 10000000 instructions",
		"-DCASE=5": "f wrote no response",
		"-DCASE=9": "it aborted",
	} {
		m := function(t, h, buildC(t, "hostile.c", flag), core.NumberSample)
		_, _, err := m.Call(t.Context(), "f", wasm.Call{})
		if bad, ok := errors.AsType[*wasm.CallError](err); !ok || bad.Unknown || !strings.Contains(bad.Reason, want) {
			t.Errorf("Call of hostile %s: %v, want %s", flag, err, want)
		}
	}
	m := function(t, h, buildC(t, "clock.c"), core.NumberSample)
	for want, args := range map[string][]any{
		"f gave \"0.000000000": nil,
		"argument 2 of f: NaN": {1.0, math.NaN()},
		"too large":            {strings.Repeat("x", 300<<10)},
	} {
		if _, _, err := m.Call(t.Context(), "f", wasm.Call{Args: args}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Call with %.50v: %v, want %s", args, err, want)
		}
	}
	_ = m.Close(t.Context())
	_, _, err := m.Call(t.Context(), "f", wasm.Call{})
	if bad, ok := errors.AsType[*wasm.CallError](err); !ok || !bad.Unknown {
		t.Errorf("Call of a module that is closed: %v, want that nothing is known", err)
	}
}

// What an action answers decides whether it is tried again.
func TestActed(t *testing.T) {
	declared := []core.SampleDecl{{Name: "id", Type: core.StringSample}, {Name: "took", Type: core.DurationSample}}
	for response, want := range map[string]wasm.Acted{
		`{"outcome":"pass","output":{"id":"a","took":1.5}}`:          {Outcome: core.Pass},
		`{"outcome":"fail","error":"no such room"}`:                  {Outcome: core.Fail, Why: "no such room"},
		`{"outcome":"error","summary":"away","retry_after_ms":7000}`: {Outcome: core.Error, Why: "away", After: 7 * time.Second},
		`{"outcome":"error"}`:                                        {Outcome: core.Error, Why: "the module gave no reason"},
	} {
		got, err := wasm.ReadActed([]byte(response), declared)
		if err != nil || got.Outcome != want.Outcome || got.Why != want.Why || got.After != want.After {
			t.Errorf("%s = %+v, %v", response, got, err)
		}
		if want.Outcome == core.Pass && (got.Output["id"] != "a" || got.Output["took"] != 1500*time.Millisecond) {
			t.Errorf("%s: output %v", response, got.Output)
		}
	}
	for response, want := range map[string]string{
		``:                                      "it wrote no response",
		`{"outcome":"warn"}`:                    "an action passes, fails or errs",
		`{"outcome":"pass","output":{"idd":1}}`: "it reported the output idd, which its manifest does not declare",
		`{"outcome":"pass","output":{"id":true}}`: "its output id is true, declared is string",
	} {
		if _, err := wasm.ReadActed([]byte(response), declared); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", response, err, want)
		}
	}
}

func BenchmarkFunction(b *testing.B) {
	h := newHost(b, wasm.Options{})
	m := function(b, h, readFile(b, "testdata/commands/answer.wasm"), core.NumberSample)
	for b.Loop() {
		if _, _, err := m.Call(b.Context(), "f", wasm.Call{Args: []any{1.0, "text"}}); err != nil {
			b.Fatal(err)
		}
	}
}
