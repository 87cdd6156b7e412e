package wasm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// The limits of one call of a function, besides those of its module.
const (
	callFuel   = 10_000_000
	callTime   = time.Second // by the clock on the wall; fuel ends it long before on a machine that is not too busy
	callInput  = 256 << 10   // bytes of the request
	callOutput = 64 << 10    // bytes of the answer
)

// CallError is why a function gave no value.
type CallError struct {
	Reason string
	// Unknown is set when nothing is known of the value: the module is gone, or
	// the machine was too busy. The same call can succeed another time.
	Unknown bool
}

// Error is the reason.
func (e *CallError) Error() string { return e.Reason }

// Call is one call of a function.
type Call struct {
	Args []any     // plain values: bool, int64, float64, string, time.Duration, time.Time, lists and maps
	Now  time.Time // what the function sees as the time; zero is 1970
}

// Call calls a function that m offers. It is pure: it reaches nothing, its
// clock stands still at Now, its random numbers are always the same, and it
// computes no longer than 10,000,000 instructions, so that the same arguments
// give the same value or the same error. The value has the declared type; fuel
// is what it cost. The error is a [*CallError].
func (m *Module) Call(ctx context.Context, name string, c Call) (value any, fuel int64, err error) {
	if c.Now.IsZero() {
		c.Now = time.Unix(0, 0)
	}
	limits := m.limits
	limits.Fuel, limits.Output, limits.Logs = min(limits.Fuel, callFuel), min(limits.Output, callOutput), 4<<10
	r := &run{limits: limits, client: m.host.nowhere, host: m.host, started: c.Now, frozen: true}
	value, err = m.evaluate(ctx, r, name, c.Args)
	fuel = r.granted + r.extra
	if err == nil {
		return value, fuel, nil
	}
	why := m.failed(err).Why
	return nil, fuel, &CallError{Reason: why.Text, Unknown: slices.Contains([]string{"closed", "busy", "limit_time", "canceled", "fault"}, why.Code)}
}

func (m *Module) evaluate(ctx context.Context, r *run, name string, args []any) (any, error) {
	i := slices.IndexFunc(m.facts.Manifest.Functions, func(f core.FunctionDecl) bool { return f.Name == name })
	if i < 0 {
		return nil, &stop{"closed", "it offers no function " + name}
	}
	decl := m.facts.Manifest.Functions[i]
	q := abi.Request{Kind: abi.KindCall, Function: name, Args: make([]any, len(args)), DeadlineMS: callTime.Milliseconds()}
	for i, a := range args {
		var err error
		if q.Args[i], err = argument(a); err != nil {
			return nil, &stop{"argument", fmt.Sprintf("argument %d of %s: %v", i+1, name, err)}
		}
	}
	if text, err := json.Marshal(q.Args); err != nil || len(text) > callInput {
		return nil, &stop{"argument", fmt.Sprintf("the arguments of %s are too large: the limit is %s as JSON", name, size(callInput))}
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if err := m.invoke(ctx, r, abi.FunctionPrefix+name, 0, q); err != nil {
		return nil, err
	}
	return readValue(r.output, decl)
}

// argument writes a value for a guest: a duration as seconds, a time as text.
func argument(v any) (any, error) {
	switch x := v.(type) {
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return nil, fmt.Errorf("%v cannot be written as JSON", x)
		}
	case time.Duration:
		return x.Seconds(), nil
	case time.Time:
		return x.Format(time.RFC3339Nano), nil
	}
	return v, nil
}

// readValue makes a value of what a function wrote.
func readValue(output []byte, decl core.FunctionDecl) (any, error) {
	var a struct {
		Value json.RawMessage `json:"value"`
		Error string          `json:"error"`
	}
	if len(bytes.TrimSpace(output)) == 0 {
		return nil, &stop{"response", decl.Name + " wrote no response"}
	}
	if err := json.Unmarshal(output, &a); err != nil {
		return nil, &stop{"response", fmt.Sprintf("the response of %s is not valid: %s", decl.Name, clean(err.Error(), 200, false))}
	}
	if a.Error != "" {
		return nil, &stop{"refused", cmp.Or(clean(a.Error, maxSummary, false), decl.Name+" failed")}
	}
	raw := bytes.TrimSpace(a.Value)
	if len(raw) == 0 || string(raw) == "null" {
		return nil, &stop{"response", decl.Name + " gave no value"}
	}
	v, err := result(decl.Returns, raw)
	if err != nil {
		return nil, &stop{"response", fmt.Sprintf("%s gave %s, declared is %s", decl.Name, clean(string(raw), 80, false), decl.Returns)}
	}
	return v, nil
}

func result(t core.SampleType, raw json.RawMessage) (any, error) {
	if t == core.ListSample {
		list, err := into[[]any](raw)
		return tidy(list), err
	}
	return sample(t, raw)
}
