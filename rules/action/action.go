// Package action carries out what rules ask for: one action a file.
//
// An Action is given a configuration whose texts are rendered already and
// whose secrets are resolved, and does its work once: whoever calls it owns
// retries, deadlines and the order of steps. Carrying out an action twice with
// the same Key must be harmless or recognizable by whoever receives it.
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
	Step    string // its id

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

// New makes all actions, by the name that steps use. The logger is where log
// steps write; dial is how webhooks reach the network.
func New(log *slog.Logger, dial DialContext) map[string]Action {
	return map[string]Action{"log": NewLog(log), "webhook": NewWebhook(dial)}
}

// Known is [New] without a way out: for checking rules, not for carrying out.
func Known() map[string]Action {
	return New(slog.New(slog.DiscardHandler), nil)
}

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
