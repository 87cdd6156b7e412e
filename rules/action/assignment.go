package action

import (
	"context"
	"errors"
	"fmt"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Assignments is what the actions about assignments need of the program.
type Assignments interface {
	// Run runs an assignment and returns what was stored. The error is
	// [store.ErrNotFound] when there is none of that id or it is disabled.
	Run(ctx context.Context, assignment string) (core.Run, error)
	// Able enables or disables an assignment in the name of by, and reports
	// whether that changed anything. The error is [store.ErrNotFound] when there
	// is none, and a [*RefusedError] when it cannot be enabled.
	Able(ctx context.Context, assignment string, enable bool, by string) (bool, error)
}

// assignment is assignment.run_now, .enable or .disable. They take assignment,
// written system:check. The output of run_now is {run, outcome, summary}, that
// of the others {changed}.
type assignment struct {
	of   Assignments
	verb string
}

var (
	_ Action = assignment{}
	_ Typed  = assignment{}
)

// The verbs of assignment.
const (
	runNow  = "run_now"
	enable  = "enable"
	disable = "disable"
)

// Check implements [Action].
func (assignment) Check(with map[string]any) core.Problems {
	out := fields(with, []string{"assignment"}, []string{"assignment"})
	if _, ok := with["assignment"].(string); !ok && with["assignment"] != nil {
		out = append(out, core.Problem{Path: "assignment", Code: "assignment", Message: "is not text", Fix: `write for example "${system.id}:http"`})
	}
	return out
}

// Outputs implements [Action].
func (a assignment) Outputs() []string {
	if a.verb == runNow {
		return []string{"run", "outcome", "summary"}
	}
	return []string{"changed"}
}

// Types implements [Typed].
func (assignment) Types() map[string]core.SampleType {
	return map[string]core.SampleType{"run": core.IntegerSample, "outcome": core.StringSample, "summary": core.StringSample, "changed": core.BoolSample}
}

// Channel implements [Action].
func (assignment) Channel(map[string]any) string { return "" }

// Do implements [Action].
func (a assignment) Do(ctx context.Context, call Call) (map[string]any, error) {
	if a.of == nil {
		return nil, errors.New("there are no assignments here")
	}
	id, _ := call.With["assignment"].(string)
	if a.verb == runNow {
		run, err := a.of.Run(ctx, id)
		if err != nil {
			return nil, a.failed(id, err)
		}
		return map[string]any{"run": run.ID, "outcome": run.Outcome.String(), "summary": run.Summary}, nil
	}
	changed, err := a.of.Able(ctx, id, a.verb == enable, "rule "+call.Rule)
	if err != nil {
		return nil, a.failed(id, err)
	}
	return map[string]any{"changed": changed}, nil
}

func (a assignment) failed(id string, err error) error {
	if errors.Is(err, store.ErrNotFound) {
		reason := fmt.Sprintf("there is no assignment %q", id)
		if a.verb == runNow {
			reason += ", or it is disabled"
		}
		return &RefusedError{Reason: reason}
	}
	return fmt.Errorf("%s of %s: %w", a.verb, id, err)
}
