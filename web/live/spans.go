package live

import (
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// Spans is health between two instants: stretches in order and without gaps.
// The transitions are of one subject, in any order of time; before is what
// its health was ahead of the first one after from, when none of them is older
// than from.
func Spans(transitions []core.Transition, before core.Health, from, to time.Time) []wire.Span {
	sorted := slices.SortedStableFunc(slices.Values(transitions), func(a, b core.Transition) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return int(a.Seq - b.Seq)
	})
	current := wire.Span{From: from, Health: before}
	var out []wire.Span
	for _, t := range sorted {
		if !t.At.Before(to) {
			break
		}
		if t.At.After(current.From) && t.To != current.Health {
			current.To = t.At
			out = append(out, current)
			current = wire.Span{From: t.At}
		}
		current.Health, current.Why = t.To, t.Why
	}
	current.To = to
	return append(out, current)
}

// Share is the part of the spans that was Healthy or Degraded, of the time for
// which there was news: neither Unknown nor Stale. It is -1 when there was none.
func Share(spans []wire.Span) float64 {
	var up, known time.Duration
	for _, s := range spans {
		took := s.To.Sub(s.From)
		switch s.Health {
		case core.Healthy, core.Degraded:
			up += took
			known += took
		case core.Unhealthy:
			known += took
		case core.Unknown, core.Stale:
		}
	}
	if known <= 0 {
		return -1
	}
	return float64(up) / float64(known)
}
