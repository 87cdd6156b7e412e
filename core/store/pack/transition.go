package pack

import (
	"encoding/json"
	"fmt"

	"github.com/tocsin-io/tocsin/core"
)

// How tables name a [core.SubjectKind].
const (
	kindAssignment = iota
	kindSystem
	kindGroup
)

// Kind is how tables name a [core.SubjectKind].
func Kind(k core.SubjectKind) int {
	switch k {
	case core.OfSystem:
		return kindSystem
	case core.OfGroup:
		return kindGroup
	case core.OfAssignment:
	}
	return kindAssignment
}

// Entry is a Transition in columns.
type Entry struct {
	Seq, At     int64
	Kind        int
	Scope, Part string
	From, To    int
	Cause       string
	Run         int64
	Body        []byte // JSON of the rest
}

type entryBody struct {
	Healthy  int      `json:"healthy"`
	Total    int      `json:"total"`
	CausedBy []string `json:"caused_by,omitempty"`
	Why      core.Why `json:"why"`
	Removed  bool     `json:"removed,omitempty"`
}

// Transition is c in columns.
func Transition(c core.Transition) (Entry, error) {
	body, err := json.Marshal(entryBody{c.HealthyChecks, c.TotalChecks, c.CausedBy, c.Why, c.Removed})
	if err != nil {
		return Entry{}, fmt.Errorf("write transition of %s: %w", c.Subject, err)
	}
	scope, part := Scope(c.Subject)
	return Entry{c.Seq, Nanos(c.At), Kind(c.Subject.Kind), scope, part, int(c.From), int(c.To), string(c.Cause), c.Run, body}, nil
}

// Unpack undoes [Transition].
func (e Entry) Unpack() (core.Transition, error) {
	c := core.Transition{
		Seq: e.Seq, At: Instant(e.At), From: core.Health(e.From), To: core.Health(e.To), //nolint:gosec // columns hold 0 to 4
		Cause: core.Cause(e.Cause), Run: e.Run,
	}
	var body entryBody
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return c, fmt.Errorf("transition %d: %w", e.Seq, err)
	}
	c.HealthyChecks, c.TotalChecks, c.CausedBy, c.Why, c.Removed = body.Healthy, body.Total, body.CausedBy, body.Why, body.Removed
	switch e.Kind {
	case kindAssignment:
		c.Subject = core.Subject{Kind: core.OfAssignment, ID: core.AssignmentID(e.Scope, e.Part)}
	case kindGroup:
		c.Subject = core.Subject{Kind: core.OfGroup, ID: e.Scope[1:]}
	default:
		c.Subject = core.Subject{Kind: core.OfSystem, ID: e.Scope}
	}
	return c, nil
}
