package series

import (
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Chart is history in steps of equal width. Make one with [NewChart] and add
// what the storage holds.
type Chart struct {
	Tier   Tier // whose Buckets it is made of
	From   time.Time
	Step   time.Duration
	Points []Bucket

	to    time.Time
	early int64 // where the first bucket is that matters
}

// steps are the widths of steps that people find easy to read.
func steps() []time.Duration {
	const day = 24 * time.Hour
	m, h := time.Minute, time.Hour
	return []time.Duration{m, 2 * m, 5 * m, 10 * m, 15 * m, 30 * m, h, 2 * h, 3 * h, 6 * h, 12 * h, day, 2 * day, 3 * day, 7 * day, 14 * day, 30 * day}
}

// NewChart is a chart from one instant to another with about as many points, but
// no finer than a minute. It is made of one tier, and of what is not added up
// yet, so that it has no border that could show: the coarsest that the steps
// allow and that reaches back far enough. floors says from where on the buckets
// of each tier are kept; a tier without one has all.
func NewChart(from, to time.Time, points int, floors map[Tier]time.Time) *Chart {
	span := max(to.Sub(from), 0)
	step := span / time.Duration(max(points, 1))
	all := steps()
	if i, _ := slices.BinarySearch(all, step); i < len(all) {
		step = all[i]
	} else {
		step = step.Truncate(24*time.Hour) + 24*time.Hour
	}
	tier := reaching(step, from, floors)
	step = max(step, tier.Width())
	c := &Chart{Tier: tier, Step: step, to: to}
	begin := floor(nanos(from), int64(step))
	c.early = begin
	c.From = time.Unix(0, begin).UTC()
	c.Points = make([]Bucket, int(max(nanos(to)-begin, 0)/int64(step))+1)
	return c
}

// reaching is the tier for a step, of those that are kept since an instant: the
// coarsest that is not wider, or else a coarser one, or else a finer one; of
// none the one that reaches back furthest.
func reaching(step time.Duration, from time.Time, floors map[Tier]time.Time) Tier {
	var order []Tier
	for _, t := range slices.Backward(Tiers()) {
		if t.Width() <= step {
			order = append(order, t)
		}
	}
	natural := order[0]
	finer := order[1:]
	order = []Tier{natural}
	for _, t := range Tiers() {
		if t > natural {
			order = append(order, t)
		}
	}
	order = append(order, finer...)
	best := natural
	for _, t := range order {
		if !floors[t].After(from) {
			return t
		}
		if floors[t].Before(floors[best]) {
			best = t
		}
	}
	return best
}

// Bounds are the first bucket that the chart needs and the one that it needs no
// more.
func (c *Chart) Bounds() (first, past int64) {
	return c.early, c.early + int64(len(c.Points))*int64(c.Step)
}

// Add adds a bucket of the tier of the chart.
func (c *Chart) Add(at int64, b *Bucket) {
	if p := c.point(at); p != nil {
		p.Merge(b)
	}
}

// AddDelta adds what is not added up yet.
func (c *Chart) AddDelta(d *Delta) {
	places := make([]Place, 0, len(d.Buckets))
	for place := range d.Buckets {
		if place.Tier == c.Tier {
			places = append(places, place)
		}
	}
	slices.SortFunc(places, func(a, b Place) int { return int((a.At - b.At) / int64(time.Second)) })
	for _, place := range places {
		c.Add(place.At, d.Buckets[place])
	}
}

func (c *Chart) point(at int64) *Bucket {
	i := (at - c.early) / int64(c.Step)
	if at < c.early || i >= int64(len(c.Points)) {
		return nil
	}
	return &c.Points[i]
}

// WantsChanges reports whether the time in each health comes from the changes
// themselves and not from the buckets; see [Chart.Changes].
func (c *Chart) WantsChanges() bool { return !c.Tier.keepsHealth() }

// Changes adds the time in each health: changes are those from the beginning of
// the chart on in order of Seq, and before is the health ahead of them.
func (c *Chart) Changes(before core.Health, known bool, changes []core.Transition) {
	at, health := c.From, before
	spend := func(until time.Time) {
		for known && at.Before(until) {
			i := (at.UnixNano() - c.early) / int64(c.Step)
			if i < 0 || i >= int64(len(c.Points)) || int(health) >= len(c.Points[i].Health) {
				return
			}
			next := c.From.Add(time.Duration(i+1) * c.Step)
			if next.After(until) {
				next = until
			}
			c.Points[i].Health[health] += next.Sub(at)
			at = next
		}
	}
	for _, t := range changes {
		when := t.At
		if when.After(c.to) {
			when = c.to
		}
		spend(when)
		if when.After(at) {
			at = when
		}
		health, known = t.To, true
	}
	spend(c.to)
}

// Whole is all points together.
func (c *Chart) Whole() Bucket {
	var all Bucket
	for i := range c.Points {
		all.Merge(&c.Points[i])
	}
	return all
}
