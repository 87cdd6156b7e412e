// Package action carries out what rules ask for: one action a file.
//
// An Action is given a configuration whose texts are rendered already and
// whose secrets are resolved, and does its work once: whoever calls it owns
// retries, deadlines and the order of steps. Carrying out an action twice with
// the same Key must be harmless or recognizable by whoever receives it.
//
// An action that changes what Tocsin itself keeps, such as
// assignment.disable, is no different: it takes what it needs of the program
// as a small interface beside it, named in [Needs], and makes its change in one
// transaction of its own. A crash after that transaction and before the step is
// stored carries it out again with the same Key, so the change must either be
// the same when made twice (to set a state) or be stored under the Key, and a
// second attempt must find what the first one made and return it.
package action

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Action is one kind of thing that a step of a rule can do. It is safe for
// concurrent use.
type Action interface {
	// Check reports what is wrong with a configuration whose texts are not
	// rendered yet, with paths relative to it.
	Check(with map[string]any) core.Problems
	// Outputs names the fields of its output, which later steps see as
	// steps.ID.FIELD. Nil means that they are not known here.
	Outputs() []string
	// Channel names what a rendered configuration talks to, for limits and
	// the circuit breaker: the host of a webhook. Empty: no limit.
	Channel(with map[string]any) string
	// Do carries it out once and returns its output. The error is a
	// [*RefusedError] when trying again cannot help, a [*LaterError] when the other
	// side said when to come back, and else worth another attempt.
	Do(ctx context.Context, call Call) (map[string]any, error)
}

// Typed is an Action whose outputs have types.
type Typed interface {
	// Types are the types of the fields that Outputs names. An absent one is
	// of any type.
	Types() map[string]core.SampleType
}

// Trusted is an Action that says whether it may be handed values of secrets.
// One that is not gets the reference {secret: NAME} as it was written.
type Trusted interface{ Trusted() bool }

// Call is one carrying out of an Action.
type Call struct {
	With    map[string]any // rendered
	Key     string         // the same in every attempt
	Attempt int            // which one, from 1
	Rule    string
	Firing  string
	Step    string       // its id
	Subject core.Subject // that the rule fired for
	System  string       // that the subject is or belongs to; of a group empty
	Episode string       // the same in the firings and the recovery of one problem
	At      time.Time    // of the event that the rule fired on

	// Trace is what an action has to tell of the attempt besides its output
	// and its error. Whoever calls may hand in none.
	Trace *core.StepTrace
}

// RefusedError is the error of an attempt that no other attempt can mend.
type RefusedError struct{ Reason string }

// Error is the reason.
func (e *RefusedError) Error() string { return e.Reason }

// LaterError is the error of an attempt whose other side asked to wait.
type LaterError struct {
	Reason string
	After  time.Duration
}

// Error is the reason.
func (e *LaterError) Error() string { return e.Reason }

// Needs is what actions need of the program. An action whose need is nil can be
// checked and fails when it is carried out.
type Needs struct {
	Log         *slog.Logger // where log steps write; default nowhere
	Dial        DialContext  // how webhooks reach the network
	Assignments Assignments
	Channels    Channels
}

// New makes all actions, by the name that steps use.
func New(n Needs) map[string]Action {
	if n.Log == nil {
		n.Log = slog.New(slog.DiscardHandler)
	}
	return map[string]Action{
		"assignment.disable": assignment{n.Assignments, disable},
		"assignment.enable":  assignment{n.Assignments, enable},
		"assignment.run_now": assignment{n.Assignments, runNow},
		"log":                NewLog(n.Log),
		"notify":             NewNotify(n.Channels, n.Dial),
		"webhook":            NewWebhook(n.Dial),
	}
}

// Known is [New] that needs nothing: for checking rules, not for carrying out.
func Known() map[string]Action { return New(Needs{}) }

// fields checks that with holds known fields only, and those that are needed.
func fields(with map[string]any, known, needed []string) core.Problems {
	var out core.Problems
	for _, name := range slices.Sorted(maps.Keys(with)) {
		if !slices.Contains(known, name) {
			out = append(out, core.Problem{Path: name, Code: "unknown_field", Message: fmt.Sprintf("there is no field %q", name), Fix: fmt.Sprintf("there are %q", known)})
		}
	}
	for _, name := range needed {
		if with[name] == nil || with[name] == "" {
			out = append(out, core.Problem{Path: name, Code: "missing_field", Message: name + " is missing", Fix: fmt.Sprintf("write %s: and its value", name)})
		}
	}
	return out
}
