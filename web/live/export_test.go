package live

import (
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// BuildSnapshot makes the snapshot of systems as [Hub.Fleet] does after a
// change, for benchmarks.
func BuildSnapshot(systems []core.System) func() (plain, compressed int) {
	f := newFleet("epoch")
	f.configure(systems)
	for _, s := range systems {
		f.roll(core.Rolled{
			Subject: core.Subject{Kind: core.OfSystem, ID: s.ID}, Health: core.Healthy, Since: time.Unix(1_700_000_000, 0), HealthyChecks: 3, TotalChecks: 3,
			Why: core.Because("healthy", "all {total} checks within their limits", "total", "3"),
		})
	}
	f.publish(false)
	return func() (int, int) {
		text := f.snapshot(time.Unix(1_800_000_000, 0))
		return len(text), len(compress(text))
	}
}

// BuildDelta makes the delta of everything that changed, for benchmarks.
func BuildDelta(systems []core.System) func(since int64) int {
	f := newFleet("epoch")
	f.configure(systems)
	f.publish(false)
	return func(since int64) int { return len(f.delta(since)) }
}
