package core

import "fmt"

// Health is how a subject is: of an Assignment derived from its runs, of a
// System and a Group rolled up. Zero is Unknown: no data is never Healthy.
type Health uint8

// The values of Health.
const (
	Unknown   Health = iota // not known yet, or nothing watches it
	Healthy                 // within its limits
	Degraded                // impaired, still of use
	Unhealthy               // not of use
	Stale                   // no news for longer than promised
)

var healthNames = [...]string{"unknown", "healthy", "degraded", "unhealthy", "stale"} //nolint:gochecknoglobals // a constant table

// Healths lists every Health in order of its number.
func Healths() []Health { return []Health{Unknown, Healthy, Degraded, Unhealthy, Stale} }

// String is the lower-case English word, the same in JSON, SQL and rules.
func (h Health) String() string {
	if int(h) < len(healthNames) {
		return healthNames[h]
	}
	return fmt.Sprintf("health(%d)", uint8(h))
}

// MarshalText writes [Health.String].
func (h Health) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what [Health.String] writes.
func (h *Health) UnmarshalText(text []byte) error {
	for i, name := range healthNames {
		if name == string(text) {
			*h = Health(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not a health; one of unknown, healthy, degraded, unhealthy, stale", text)
}

// Severity orders Health for roll-ups: Unhealthy > Stale > Degraded >
// Unknown > Healthy. A greater number is worse.
func (h Health) Severity() int {
	switch h {
	case Unhealthy:
		return 4
	case Stale:
		return 3
	case Degraded:
		return 2
	case Unknown:
		return 1
	case Healthy:
		return 0
	}
	return 1
}

// Bad reports whether h is a state that people must be told of: Degraded,
// Unhealthy or Stale.
func (h Health) Bad() bool { return h == Degraded || h == Unhealthy || h == Stale }

// Outcome is the verdict of one Run.
type Outcome uint8

// The values of Outcome.
const (
	Pass  Outcome = iota // answered, and everything that must hold held
	Warn                 // answered, and only a warning did not hold
	Fail                 // answered wrongly, not reached, or an assertion was false
	Error                // we could not ask; never moves Health
)

var outcomeNames = [...]string{"pass", "warn", "fail", "error"} //nolint:gochecknoglobals // a constant table

// String is the lower-case English word, the same in JSON, SQL and rules.
func (o Outcome) String() string {
	if int(o) < len(outcomeNames) {
		return outcomeNames[o]
	}
	return fmt.Sprintf("outcome(%d)", uint8(o))
}

// MarshalText writes [Outcome.String].
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what [Outcome.String] writes.
func (o *Outcome) UnmarshalText(text []byte) error {
	for i, name := range outcomeNames {
		if name == string(text) {
			*o = Outcome(i)
			return nil
		}
	}
	return fmt.Errorf("%q is not an outcome; one of pass, warn, fail, error", text)
}

// Worse is the graver of two outcomes of the same Run: Error is worst, because
// a Run of which a part could not be asked has no verdict.
func Worse(a, b Outcome) Outcome { return max(a, b) }

// Cause says what moved Health.
type Cause string

// The values of Cause.
const (
	CauseRun      Cause = "run"      // a recorded Run
	CauseConfig   Cause = "config"   // an edit: enable, disable, assign, delete, policy
	CauseStale    Cause = "stale"    // no recorded Run for too long
	CauseOverride Cause = "override" // an Incident or a Maintenance
)

// SubjectKind says what a Transition is about.
type SubjectKind string

// The values of SubjectKind.
const (
	OfAssignment SubjectKind = "assignment"
	OfSystem     SubjectKind = "system"
	OfGroup      SubjectKind = "group"
)

// Subject is what Health is of.
type Subject struct {
	Kind SubjectKind `json:"kind"`
	ID   string      `json:"id"`
}

// String is "kind/id", the form used in keys and logs.
func (s Subject) String() string { return string(s.Kind) + "/" + s.ID }
