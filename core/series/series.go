// Package series adds history up: runs and the health they moved become
// Buckets of a minute, an hour and a day, and Buckets become charts.
//
// Buckets begin at whole units of UTC. They hold numbers that can be added, so
// that the order in which they are merged does not matter, and a percentile
// over a month comes from merging its days: it is within one percent of the
// percentile of all runs at once. Everything here is pure.
package series

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Tier is a width of Buckets.
type Tier uint8

// The tiers.
const (
	Minutes Tier = iota + 1
	Hours
	Days
)

// Tiers lists every Tier, from the finest.
func Tiers() []Tier { return []Tier{Minutes, Hours, Days} }

// Width is how long a Bucket of the Tier is.
func (t Tier) Width() time.Duration {
	switch t {
	case Hours:
		return time.Hour
	case Days:
		return 24 * time.Hour
	case Minutes:
	}
	return time.Minute
}

// String names it.
func (t Tier) String() string {
	switch t {
	case Minutes:
		return "minutes"
	case Hours:
		return "hours"
	case Days:
		return "days"
	}
	return fmt.Sprintf("tier(%d)", uint8(t))
}

// keepsHealth reports whether Buckets of the Tier hold the time spent in each
// health. Those of minutes do not: a check that runs each day would need 1,440
// of them a day, and the few changes of some hours are quickly read.
func (t Tier) keepsHealth() bool { return t != Minutes }

// floor is where the Bucket begins that holds an instant, in nanoseconds.
func floor(nanos, width int64) int64 {
	at := nanos - nanos%width
	if at > nanos {
		at -= width
	}
	return at
}

// Bucket is what happened to one Assignment in one stretch of time. Zero is
// nothing.
type Bucket struct {
	Runs    [4]int64         // by core.Outcome
	Health  [5]time.Duration // spent in each core.Health
	Latency Values           // in nanoseconds, of runs that asked the target
	Samples map[string]*Values
}

// MostSamples is how many samples a Bucket holds at most; it keeps those that
// it has.
const MostSamples = 64

// Asked is how many runs asked the target: all but those of Outcome Error.
func (b *Bucket) Asked() int64 { return b.Runs[core.Pass] + b.Runs[core.Warn] + b.Runs[core.Fail] }

// Empty reports whether nothing happened.
func (b *Bucket) Empty() bool {
	return b.Runs == [4]int64{} && b.Health == [5]time.Duration{} && b.Latency.Count == 0 && len(b.Samples) == 0
}

// Availability is the part of the time that was Healthy or Degraded, of the
// time for which there was news: neither Unknown nor Stale. It is -1 when there
// was none.
func (b *Bucket) Availability() float64 {
	up := b.Health[core.Healthy] + b.Health[core.Degraded]
	known := up + b.Health[core.Unhealthy]
	if known <= 0 {
		return -1
	}
	return float64(up) / float64(known)
}

// Add counts a run. One that could not be asked has no latency. Of its samples
// the numbers count.
func (b *Bucket) Add(run *core.Run) {
	if int(run.Outcome) < len(b.Runs) {
		b.Runs[run.Outcome]++
	}
	if run.Outcome != core.Error && run.Latency > 0 {
		b.Latency.Add(float64(run.Latency))
	}
	for name, value := range run.Samples {
		if x, ok := number(value); ok {
			if v := b.sample(name); v != nil {
				v.Add(x)
			}
		}
	}
}

// sample is the named one, nil when there is no room.
func (b *Bucket) sample(name string) *Values {
	v := b.Samples[name]
	if v == nil && len(b.Samples) < MostSamples {
		if b.Samples == nil {
			b.Samples = map[string]*Values{}
		}
		v = &Values{}
		b.Samples[name] = v
	}
	return v
}

// number is the value of a sample that can be counted, durations in
// nanoseconds.
func number(value any) (x float64, ok bool) {
	switch v := value.(type) {
	case int64:
		x, ok = float64(v), true
	case int:
		x, ok = float64(v), true
	case float64:
		x, ok = v, countable(v)
	case time.Duration:
		x, ok = float64(v), true
	}
	return x, ok
}

// Merge adds what o holds.
func (b *Bucket) Merge(o *Bucket) {
	for i, n := range o.Runs {
		b.Runs[i] += n
	}
	for i, d := range o.Health {
		b.Health[i] += d
	}
	b.Latency.Merge(&o.Latency)
	names := make([]string, 0, len(o.Samples))
	for name := range o.Samples {
		names = append(names, name)
	}
	slices.Sort(names) // which of them find room must not be chance
	for _, name := range names {
		if v := b.sample(name); v != nil {
			v.Merge(o.Samples[name])
		}
	}
}

// Progress is how far one Assignment is added up. Its runs form a chain, each
// knows the one before; what is added up is the chain up to Low, and when a
// long one is worked off, from the newest back, also what lies between Next and
// Top: the runs after Top and those from Next back to Low remain. Zero is
// nothing.
type Progress struct {
	Low  int64 // newest run of the old part
	Next int64 // where the work goes on, 0 when the chain is whole
	Top  int64 // newest run of the new part, 0 when the chain is whole

	Seq    int64       // newest Transition that is added up
	Health core.Health // after it
	Since  time.Time   // when it was
	Until  time.Time   // up to here the time in each health is added up
}

// Part is a piece of the chain of runs: from Newest down to, without, Oldest.
type Part struct{ Newest, Oldest int64 }

// Remaining is what of the chain that begins at newest is not added up.
func (p Progress) Remaining(newest int64) []Part {
	out := []Part{{newest, max(p.Low, p.Top)}}
	if p.Next > 0 {
		out = append(out, Part{p.Next, p.Low})
	}
	return out
}

// Came is p after the runs from begin down to, without, next are added up, where
// begin is Next or, when the chain is whole, its newest run. next is 0 when
// nothing remains.
func (p Progress) Came(begin, next int64) Progress {
	switch {
	case next > 0 && p.Next == 0:
		p.Top, p.Next = begin, next
	case next > 0:
		p.Next = next
	case p.Next > 0:
		p.Low, p.Top, p.Next = p.Top, 0, 0
	default:
		p.Low = max(p.Low, begin)
	}
	return p
}

// Place is where a Bucket of one Assignment stands.
type Place struct {
	Tier Tier
	At   int64 // nanoseconds since 1970 UTC
}

// Delta is what is to be added to the Buckets of one Assignment.
type Delta struct {
	tiers   []Tier
	Buckets map[Place]*Bucket
}

// NewDelta is an empty one of these tiers.
func NewDelta(tiers ...Tier) *Delta { return &Delta{tiers: tiers, Buckets: map[Place]*Bucket{}} }

func (d *Delta) at(tier Tier, nanos int64) *Bucket {
	place := Place{tier, floor(nanos, int64(tier.Width()))}
	b := d.Buckets[place]
	if b == nil {
		b = &Bucket{}
		d.Buckets[place] = b
	}
	return b
}

// Run adds a run where it ended.
func (d *Delta) Run(run *core.Run) {
	ended := nanos(run.Ended)
	for _, tier := range d.tiers {
		d.at(tier, ended).Add(run)
	}
}

// nanos is t as buckets are numbered: an instant that the number cannot hold is
// as far as possible.
func nanos(t time.Time) int64 {
	const most = math.MaxInt64 - int64(48*time.Hour)
	switch {
	case t.IsZero():
		return 0
	case t.Year() > 2261:
		return most
	case t.Year() < 1679:
		return -most
	}
	return t.UnixNano()
}

// reach is how far back time in a health is added up at most.
const reach = 2 * 366 * 24 * time.Hour

// Walk adds the time in each health from where p ends up to until, with the
// changes that p has not seen, in order of Seq, and returns how far it came. A
// change that was recorded late, about a time that is added up already, moves
// that time from one health to the other.
func (d *Delta) Walk(p Progress, changes []core.Transition, until time.Time) Progress {
	early := until.Add(-reach)
	for _, c := range changes {
		at := c.At
		for _, least := range []time.Time{p.Since, early} {
			if at.Before(least) {
				at = least
			}
		}
		if at.After(until) {
			at = until
		}
		if p.Since.IsZero() { // the first that is known of it
			p.Until = at
		}
		if p.Until.Before(early) {
			p.Until = early
		}
		if at.Before(p.Until) {
			d.health(p.Health, at, p.Until, -1)
			d.health(c.To, at, p.Until, 1)
		} else {
			d.health(p.Health, p.Until, at, 1)
			p.Until = at
		}
		p.Seq, p.Since, p.Health = c.Seq, at, c.To
	}
	if p.Since.IsZero() || !p.Until.Before(until) { // nothing is known of it yet
		return p
	}
	if p.Until.Before(early) {
		p.Until = early
	}
	d.health(p.Health, p.Until, until, 1)
	p.Until = until
	return p
}

// health adds the time between two instants, or takes it away.
func (d *Delta) health(h core.Health, from, to time.Time, sign time.Duration) {
	if int(h) >= len(Bucket{}.Health) {
		return
	}
	begin, end := nanos(from), nanos(to)
	for _, tier := range d.tiers {
		if !tier.keepsHealth() {
			continue
		}
		width := int64(tier.Width())
		for at := begin; at < end; {
			next := min(floor(at, width)+width, end)
			d.at(tier, at).Health[h] += sign * time.Duration(next-at)
			at = next
		}
	}
}
