package wasm

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Rehearsal is a run for a test: what is asked, and what the host is to answer.
type Rehearsal struct {
	Request abi.Request // of kind collect or act; ABI, Seed, Now and DeadlineMS may be left out
	Calls   []core.RecordedCall
}

// Rehearsed is what came of a Rehearsal.
type Rehearsed struct {
	Result   core.Result // of a collector
	Acted    Acted       // of an action
	Unused   []core.RecordedCall
	Diverged string // the first call that no answer was given for
}

// Rehearse runs m with the answers that a test gives. It reaches nothing, and
// its clock stands still at Request.Now. An answer is for the next call of its
// name whose request has every field of Input, with that value; without an
// Input it is for any. The error says why there was no run.
func (m *Module) Rehearse(ctx context.Context, h Rehearsal) (Rehearsed, error) {
	q := h.Request
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if q.Now != "" {
		var err error
		if began, err = time.Parse(time.RFC3339Nano, q.Now); err != nil {
			return Rehearsed{}, fmt.Errorf("rehearse a run of %s: now is %q, not a time such as 2026-01-01T00:00:00Z", m.facts.Name, q.Now)
		}
	}
	q.ABI, q.Now = abi.Version, began.UTC().Format(time.RFC3339Nano)
	if q.DeadlineMS == 0 {
		q.DeadlineMS = core.DefaultTimeout.Std().Milliseconds()
	}
	if q.System.Tags == nil {
		q.System.Tags = map[string]string{}
	}
	r := m.newRun(core.RunContext{})
	r.seed, r.random = q.Seed, seeded(q.Seed)
	document, err := r.rehearsed(q)
	if err != nil {
		return Rehearsed{}, fmt.Errorf("rehearse a run of %s: %w", m.facts.Name, err)
	}
	t := &tape{calls: h.Calls, replay: true, loose: true}
	r.tape, r.base, r.input, r.question = t, began, document, document
	var out Rehearsed
	if q.Kind == abi.KindAct {
		out.Acted = m.rehearseAct(ctx, r)
	} else {
		out.Result = m.rehearseCollect(ctx, r)
	}
	out.Unused, out.Diverged = h.Calls[min(t.taken, len(h.Calls)):], t.differs
	return out, nil
}

// rehearsed is a request as the guest reads it, with handles in the place of
// secrets.
func (r *run) rehearsed(q abi.Request) ([]byte, error) {
	config := map[string]any{}
	if len(q.Config) > 0 {
		if err := json.Unmarshal(q.Config, &config); err != nil {
			return nil, fmt.Errorf("the configuration is not a JSON object: %w", err)
		}
	}
	var err error
	if q.Config, err = r.configuration(config); err != nil {
		return nil, err
	}
	return json.Marshal(q)
}

func (m *Module) rehearseCollect(ctx context.Context, r *run) core.Result {
	err := m.invoke(ctx, r, abi.Collect, r.seed, abi.Request{})
	var result core.Result
	if err == nil {
		result, err = readResponse(r.output, m.facts.Manifest.Samples)
	}
	if err != nil {
		result = m.failed(err)
	}
	result.Usage, result.Logs = r.usage(), r.logs
	return result
}

func (m *Module) rehearseAct(ctx context.Context, r *run) Acted {
	var out Acted
	decl := m.facts.Manifest.Action
	err := error(&stop{"config", "it offers no action"})
	if decl != nil {
		err = m.invoke(ctx, r, abi.Act, r.seed, abi.Request{})
	}
	if err == nil {
		out, err = readActed(r.output, decl.Outputs)
	}
	if err != nil {
		out = Acted{Outcome: core.Error, Why: m.failed(err).Why.Text}
	}
	out.Usage, out.Logs = r.usage(), r.logs
	return out
}

// meant reports whether a request is one that a test described: it has every
// field of the description, with that value.
func meant(described, asked []byte) bool {
	if len(described) == 0 {
		return true
	}
	var want, got any
	if json.Unmarshal(described, &want) != nil || json.Unmarshal(asked, &got) != nil {
		return false
	}
	return holds(got, want)
}

func holds(got, want any) bool {
	fields, ok := want.(map[string]any)
	if !ok {
		return reflect.DeepEqual(got, want)
	}
	has, ok := got.(map[string]any)
	if !ok {
		return false
	}
	for name, value := range fields {
		if v, there := has[name]; !there || !holds(v, value) {
			return false
		}
	}
	return true
}
