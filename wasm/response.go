package wasm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// response is [abi.Response] as it arrives.
type response struct {
	Outcome string                     `json:"outcome"`
	Summary string                     `json:"summary"`
	Samples map[string]json.RawMessage `json:"samples"`
	Detail  any                        `json:"detail"`
	Error   string                     `json:"error"`
}

// readResponse makes a Result of what the guest wrote. Samples must be
// declared and have their declared type; the error says which is not.
func readResponse(output []byte, declared []core.SampleDecl) (core.Result, error) {
	if len(bytes.TrimSpace(output)) == 0 {
		return core.Result{}, &stop{"response", "it wrote no response"}
	}
	var a response
	if err := json.Unmarshal(output, &a); err != nil {
		return core.Result{}, &stop{"response", "its response is not valid: " + clean(err.Error(), 200, false)}
	}
	outcome, err := outcomeOf(a.Outcome)
	if err != nil {
		return core.Result{}, err
	}
	out := core.Result{Outcome: outcome, Summary: clean(a.Summary, maxSummary, false)}
	if out.Samples, err = typed("sample", a.Samples, declared); err != nil {
		return core.Result{}, err
	}
	if a.Detail != nil {
		out.Facts = core.Samples{"detail": tidy(a.Detail)}
	}
	if outcome != core.Pass {
		reason := clean(a.Error, maxText, false)
		if reason == "" {
			reason = out.Summary
		}
		if reason == "" {
			reason = "the module gave no reason"
		}
		out.Why = core.Because("module", "{reason}", "reason", reason)
	}
	if out.Summary == "" {
		out.Summary = clean(out.Why.Text, maxSummary, false)
	}
	return out, nil
}

func outcomeOf(text string) (core.Outcome, error) {
	switch text {
	case abi.Pass:
		return core.Pass, nil
	case abi.Warn:
		return core.Warn, nil
	case abi.Fail:
		return core.Fail, nil
	case abi.Error:
		return core.Error, nil
	case "":
		return core.Error, &stop{"response", "its response has no outcome; it must be pass, warn, fail or error"}
	}
	return core.Error, &stop{"response", fmt.Sprintf("its response has the outcome %q; it must be pass, warn, fail or error", clean(text, 40, false))}
}

// sample is the value of a sample as [core.Samples] holds it, nil for null.
func sample(t core.SampleType, raw json.RawMessage) (any, error) {
	if string(bytes.TrimSpace(raw)) == "null" {
		return nil, nil //nolint:nilnil // no value, and that is no error
	}
	switch t {
	case core.NumberSample:
		return into[float64](raw)
	case core.IntegerSample:
		return integer(raw)
	case core.StringSample:
		s, err := into[string](raw)
		return clean(s, maxText, true), err
	case core.BoolSample:
		return into[bool](raw)
	case core.DurationSample:
		return duration(raw)
	case core.TimeSample:
		return into[time.Time](raw)
	case core.MapSample:
		m, err := into[map[string]string](raw)
		out := make(map[string]string, len(m))
		for k, v := range m {
			out[clean(k, 200, false)] = clean(v, maxText, true)
		}
		return out, err
	case core.AnySample:
		v, err := into[any](raw)
		return tidy(v), err
	case core.ListSample: // of functions only, see [result]
	}
	return nil, fmt.Errorf("unknown type %s", t)
}

func into[T any](raw []byte) (T, error) {
	var v T
	err := json.Unmarshal(raw, &v)
	return v, err
}

// integer accepts 3.0 and 1e3 as well: some languages have one kind of number.
func integer(raw []byte) (int64, error) {
	if n, err := into[int64](raw); err == nil {
		return n, nil
	}
	f, err := into[float64](raw)
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, fmt.Errorf("%v is not an integer", f)
	}
	return int64(f), nil
}

// duration accepts a number of seconds, and text.
func duration(raw []byte) (time.Duration, error) {
	if s, err := into[string](raw); err == nil {
		d, err := core.ParseDuration(s)
		return d.Std(), err
	}
	f, err := into[float64](raw)
	if err != nil {
		return 0, err
	}
	ns := f * float64(time.Second)
	if math.Abs(ns) >= math.MaxInt64 {
		return 0, fmt.Errorf("%v seconds are too long", f)
	}
	return time.Duration(ns), nil
}

// tidy makes every text inside a JSON value safe to show.
func tidy(v any) any {
	switch v := v.(type) {
	case string:
		return clean(v, maxText, true)
	case []any:
		for i := range v {
			v[i] = tidy(v[i])
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[clean(k, 200, false)] = tidy(item)
		}
		return out
	}
	return v
}
