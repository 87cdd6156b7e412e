package wasm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Acted is what became of one attempt of an action.
type Acted struct {
	Outcome core.Outcome  // Pass: done; Fail: refused; Error: worth another attempt
	Why     string        // when it is not done
	Summary string        // one line for people
	Output  core.Samples  // when it is done: as the manifest declares
	After   time.Duration // of Error: not earlier than that, when it is set
	Logs    []core.LogLine
	Usage   *core.Usage
}

// Act carries out a step of a rule once, with the configuration that the
// schema of the action has accepted. It bounds itself as [Module.Collect] does.
func (m *Module) Act(ctx context.Context, step abi.Step, config map[string]any) Acted {
	r := m.newRun(core.RunContext{})
	out, err := m.act(ctx, r, step, config)
	if err != nil {
		why := m.failed(err).Why
		out = Acted{Outcome: core.Error, Why: why.Text}
		if why.Code == "config" {
			out.Outcome = core.Fail // the next attempt has the same
		}
	}
	out.Usage, out.Logs = r.usage(), r.logs
	return out
}

func (m *Module) act(ctx context.Context, r *run, step abi.Step, config map[string]any) (Acted, error) {
	decl := m.facts.Manifest.Action
	if decl == nil || !slices.Contains(m.facts.Manifest.Offers, abi.OffersAction) {
		return Acted{}, &stop{"config", "it offers no action"}
	}
	raw, err := r.configuration(config)
	if err != nil {
		return Acted{}, err
	}
	if err := m.invoke(ctx, r, abi.Act, r.seed, abi.Request{Kind: abi.KindAct, Config: raw, Step: &step}); err != nil {
		return Acted{}, err
	}
	return readActed(r.output, decl.Outputs)
}

// actResponse is [abi.ActResponse] as it arrives.
type actResponse struct {
	Outcome      string                     `json:"outcome"`
	Summary      string                     `json:"summary"`
	Output       map[string]json.RawMessage `json:"output"`
	Error        string                     `json:"error"`
	RetryAfterMS int64                      `json:"retry_after_ms"`
}

func readActed(output []byte, declared []core.SampleDecl) (Acted, error) {
	var a actResponse
	if len(bytes.TrimSpace(output)) == 0 {
		return Acted{}, &stop{"response", "it wrote no response"}
	}
	if err := json.Unmarshal(output, &a); err != nil {
		return Acted{}, &stop{"response", "its response is not valid: " + clean(err.Error(), 200, false)}
	}
	outcome, err := outcomeOf(a.Outcome)
	if err != nil {
		return Acted{}, err
	}
	if outcome == core.Warn {
		return Acted{}, &stop{"response", "its response has the outcome warn; an action passes, fails or errs"}
	}
	out := Acted{Outcome: outcome, Summary: clean(a.Summary, maxSummary, false)}
	if outcome != core.Pass {
		out.Why = clean(a.Error, maxText, false)
		out.Why = cmp.Or(out.Why, out.Summary, "the module gave no reason")
		const longest = 24 * time.Hour
		out.After = time.Duration(min(max(a.RetryAfterMS, 0), longest.Milliseconds())) * time.Millisecond
		return out, nil
	}
	out.Output, err = typed("output", a.Output, declared)
	return out, err
}

// typed holds what a guest reports to what its manifest declares.
func typed(what string, reported map[string]json.RawMessage, declared []core.SampleDecl) (core.Samples, error) {
	out := core.Samples{}
	types := map[string]core.SampleType{}
	for _, d := range declared {
		types[d.Name] = d.Type
	}
	for name, raw := range reported {
		t, ok := types[name]
		if !ok {
			return nil, &stop{what, fmt.Sprintf("it reported the %s %s, which its manifest does not declare", what, clean(name, 80, false))}
		}
		v, err := sample(t, raw)
		if err != nil {
			return nil, &stop{what, fmt.Sprintf("its %s %s is %s, declared is %s", what, name, clean(string(raw), 80, false), t)}
		}
		out[name] = v
	}
	return out, nil
}
