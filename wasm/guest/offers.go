package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Action is a step of rules that a module offers.
type Action struct {
	Config  any          // as [Collector.Config], of the step
	Outputs []abi.Sample // what later steps see

	// Act carries out one attempt. [Run.Request].Step.Key is the same in every
	// attempt: send it along, so that what was done is not done twice.
	Act func(run *Run) ActResult
}

// ActResult is what Act answers, see [Done], [Refused] and [Again].
type ActResult = abi.ActResponse

// Done is the ActResult when the step is carried out.
func Done(summary string, output Samples) ActResult {
	return ActResult{Outcome: abi.Pass, Summary: summary, Output: output}
}

// Refused is the ActResult when another attempt cannot help.
func Refused(err error) ActResult { return ActResult{Outcome: abi.Fail, Error: err.Error()} }

// Again is the ActResult when another attempt may help, not earlier than after
// the time given; zero leaves that to the host.
func Again(err error, after time.Duration) ActResult {
	return ActResult{Outcome: abi.Error, Error: err.Error(), RetryAfterMS: after.Milliseconds()}
}

// Unsent is the ActResult for an error of a call of [Run]: Refused when the
// next attempt would meet the same (the configuration, the grant), otherwise
// Again.
func Unsent(err error) ActResult {
	if why, ok := errors.AsType[*abi.CallError](err); ok && why.Code == abi.CodeStorage {
		return Again(err, 0)
	}
	if ours(err) {
		return Refused(err)
	}
	return Again(err, 0)
}

// Function is a pure function of expressions that a module offers. The module
// exports it too, see [Call].
type Function struct {
	Name    string
	Doc     string
	Params  []abi.Param
	Returns string
	Call    func(args Args) (any, error)
}

// Args are the arguments of a call, of the types that were declared.
type Args []any

// Number is an argument of type number, integer or duration (in seconds).
func (a Args) Number(i int) float64 { return at[float64](a, i) }

// Text is an argument of type string or time (RFC 3339).
func (a Args) Text(i int) string { return at[string](a, i) }

// Bool is an argument of type bool.
func (a Args) Bool(i int) bool { return at[bool](a, i) }

// List is an argument of type list.
func (a Args) List(i int) []any { return at[[]any](a, i) }

// Map is an argument of type map.
func (a Args) Map(i int) map[string]any { return at[map[string]any](a, i) }

// at is an argument. What is not there, or of another type, is a panic, which
// is what the call then fails with.
func at[T any](a Args, i int) T {
	if i < 0 || i >= len(a) {
		panic(fmt.Sprintf("argument %d is asked for, there are %d", i+1, len(a)))
	}
	v, ok := a[i].(T)
	if !ok {
		panic(fmt.Sprintf("argument %d is a %T, asked for as a %T", i+1, a[i], v))
	}
	return v
}

// Act answers one request to act. A panic is logged, and asks for another
// attempt.
func (c Collector) Act(request []byte, host Host) (result ActResult) {
	err := guard(host, func() error {
		run, err := newRun(request, host)
		if err != nil {
			return err
		}
		if c.Action == nil {
			return errors.New("the module offers no action")
		}
		if run.Request.Step == nil {
			run.Request.Step = &abi.Step{}
		}
		result = c.Action.Act(run)
		return nil
	})
	if err != nil {
		return Again(err, 0)
	}
	return result
}

// Call answers one call of a function.
func (c Collector) Call(function string, request []byte, host Host) (result abi.CallResponse) {
	err := guard(host, func() error {
		var q abi.Request
		if err := json.Unmarshal(request, &q); err != nil {
			return fmt.Errorf("request: %w", err)
		}
		for _, f := range c.Functions {
			if f.Name == function {
				var err error
				result.Value, err = f.Call(q.Args)
				return err
			}
		}
		return fmt.Errorf("the module offers no function %s", function)
	})
	if err != nil {
		return abi.CallResponse{Error: err.Error()}
	}
	return result
}
