package core

import "time"

// Transition is one recorded change of Health.
type Transition struct {
	Seq           int64     `json:"seq" doc:"place in the log; no gaps, never goes back"`
	At            time.Time `json:"at" doc:"when it happened: the end of the run, not the time of processing"`
	Subject       Subject   `json:"subject"`
	From          Health    `json:"from"`
	To            Health    `json:"to"`
	Cause         Cause     `json:"cause"`
	Run           int64     `json:"run,omitempty" doc:"the run that caused it"`
	HealthyChecks int       `json:"healthy_checks"`
	TotalChecks   int       `json:"total_checks"`
	CausedBy      []string  `json:"caused_by,omitempty" doc:"systems upstream that are unhealthy"`
	Why           Why       `json:"why"`
	Removed       bool      `json:"removed,omitempty" doc:"nothing watches the subject any more"`
}

// Kind is a derived kind of Transition that rules can name as a trigger.
type Kind string

// The derived kinds of a Transition.
const (
	KindChanged     Kind = "changed"     // every Transition
	KindDegraded    Kind = "degraded"    // from Healthy to Degraded
	KindUnhealthy   Kind = "unhealthy"   // to Unhealthy
	KindRecovered   Kind = "recovered"   // to Healthy from anything but Unknown
	KindEscalated   Kind = "escalated"   // from Degraded to Unhealthy
	KindDeescalated Kind = "deescalated" // from Unhealthy to Degraded
)

// The kinds of what rules see of a Run. No Transition is of them.
const (
	KindCompleted Kind = "completed" // every Run
	KindFailed    Kind = "failed"    // its Outcome is Fail
	KindError     Kind = "error"     // its Outcome is Error
	KindMetric    Kind = "metric"    // a number of it crossed a threshold
)

// Is reports whether t is of kind k.
func (t Transition) Is(k Kind) bool {
	switch k {
	case KindChanged:
		return true
	case KindDegraded:
		return t.To == Degraded && t.From == Healthy
	case KindUnhealthy:
		return t.To == Unhealthy
	case KindRecovered:
		return t.To == Healthy && t.From != Unknown
	case KindEscalated:
		return t.From == Degraded && t.To == Unhealthy
	case KindDeescalated:
		return t.From == Unhealthy && t.To == Degraded
	case KindCompleted, KindFailed, KindError, KindMetric:
	}
	return false
}
