// Package pack turns core values into the columns of rows and back, the same in
// every backend of core/store.
//
// Runs and standings are written by the thousand, so they are packed: a byte of
// format, then numbers as varints and texts with their length in front. A byte
// of format that this release does not know is an error, never a guess.
package pack

import (
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Nanos is t as the database keeps it; the zero time is 0.
func Nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261: // beyond what the number can hold: as late as possible
		return 1<<63 - 1
	case t.Year() < 1678:
		return -1 << 63
	}
	return t.UnixNano()
}

// Instant undoes Nanos.
func Instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// Limit is how many rows a query that asks for n gets.
func Limit(n int) int {
	if n <= 0 {
		return 100
	}
	return min(n, 1000)
}

// Points is how many points a chart that asks for n gets.
func Points(n int) int {
	if n <= 0 {
		return 120
	}
	return min(n, 1000)
}

// Scope is the key by which the history of a subject is found: the system that
// it is or belongs to, or "@" and the group.
func Scope(of core.Subject) (scope, part string) {
	switch of.Kind {
	case core.OfAssignment:
		return core.SplitAssignmentID(of.ID)
	case core.OfGroup:
		return "@" + of.ID, ""
	case core.OfSystem:
	}
	return of.ID, ""
}

// MaxSteps is more deliveries than any firing has.
const MaxSteps = 100_000
