// Package schedule says when an Assignment is next due.
//
// A [Schedule] is an interval or a cron expression, held to a time zone and to
// active windows. It is a pure function of time: it has no clock, keeps no
// state and is safe for concurrent use, so the same instants come out after a
// restart, on another node and in a replay. A [Queue] orders many of them.
//
// Intervals are aligned to the Unix epoch and shifted by a hash of their key,
// so that a thousand equal intervals spread evenly and keep their places.
//
// Daylight saving: a cron time that does not exist runs once, at the first
// valid instant after. A cron time that happens twice runs once, the first
// time. The exception is an expression for every hour ("*" or 0-23): it goes by
// the time that passes, and runs in both passes of the doubled hour, because
// a check for every five minutes must not fall silent for an hour.
package schedule

import (
	"fmt"
	"hash/fnv"
	"math/bits"
	"strings"
	"time"
	_ "time/tzdata" // zones must work on a machine that has no zone database

	"github.com/robfig/cron/v3"

	"github.com/tocsin-io/tocsin/core"
)

// MinEvery and MaxEvery bound an interval.
const (
	MinEvery = time.Second
	MaxEvery = 366 * 24 * time.Hour
)

// maxCron is the longest cron expression, in bytes.
const maxCron = 256

// maxSteps bounds the search for a tick inside the active windows. It is more
// than any expression needs that has such a tick at all: each step goes a day
// or more forward.
const maxSteps = 1500

// Spec is a schedule as people write it. Either Every or Cron is given.
type Spec struct {
	Every  core.Duration       // from MinEvery to MaxEvery
	Cron   string              // 5 or 6 fields (seconds first), or @hourly, @daily, @weekly, @monthly, @yearly
	Zone   string              // IANA name, of Cron and Active; default UTC
	Active []core.ActiveWindow // when it runs; always when empty
	Key    string              // shifts an interval within itself; the id of the Assignment
}

// Schedule is a parsed Spec. It is immutable. Use [Parse]; the zero value is
// never due.
type Schedule struct {
	every   time.Duration
	phase   time.Duration // of an interval, in [0, every)
	hash    uint64        // of the key
	cron    *cron.SpecSchedule
	hourly  bool // the cron runs in every hour
	zone    *time.Location
	windows windows
	nominal time.Duration
}

// Parse reads a Spec. The error is a [core.Problem] with the path of the field
// ("every", "cron", "zone", "active[1].from") and says how to mend it.
func Parse(spec Spec) (*Schedule, error) {
	zone, err := parseZone(spec.Zone)
	if err != nil {
		return nil, err
	}
	s := &Schedule{zone: zone}
	switch {
	case spec.Every != 0 && spec.Cron != "":
		return nil, problem("cron", "both every and cron are given", "keep one of them")
	case spec.Every == 0 && spec.Cron == "":
		return nil, problem("every", "the schedule is missing, or its interval is 0", "write for example every: 30s, or cron: \"*/5 * * * *\"")
	case spec.Cron != "":
		if s.cron, err = parseCron(spec.Cron); err != nil {
			return nil, err
		}
		s.hourly = bits.OnesCount64(s.cron.Hour&(1<<24-1)) == 24
	default:
		if s.every, err = parseEvery(spec.Every); err != nil {
			return nil, err
		}
	}
	if s.windows, err = parseWindows(spec.Active); err != nil {
		return nil, err
	}
	if s.cron != nil && len(s.windows) > 0 && s.Next(reference()).IsZero() {
		return nil, problem("active", fmt.Sprintf("the cron expression %q is never due inside the active windows", spec.Cron),
			"widen a window or change the cron expression")
	}
	s.nominal = s.longest()
	return s.For(spec.Key), nil
}

// For is the same schedule for another key: cheaper than to parse it again.
func (s *Schedule) For(key string) *Schedule {
	c := *s
	h := fnv.New64a()
	_, _ = h.Write([]byte(key)) // never fails
	c.hash = mix(h.Sum64())
	if c.every > 0 {
		c.phase = time.Duration(c.hash % uint64(c.every)) //nolint:gosec // every is positive, and the remainder is less
	}
	return &c
}

// mix spreads the bits of an FNV hash: keys that differ in their last
// character only would otherwise differ in few bits.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// Next is the first instant at which the schedule is due and which is later than
// after, in UTC. It is the zero time when there is none, which [Parse] refuses except
// for instants hundreds of years ahead.
func (s *Schedule) Next(after time.Time) time.Time {
	var next time.Time
	switch {
	case s.cron != nil:
		next = s.nextCron(after)
	case s.every > 0:
		next = s.nextEvery(after)
	}
	if next.IsZero() {
		return next
	}
	return next.UTC()
}

// nextEvery finds the next tick of an interval. A tick outside the active
// windows is made up for when the next window opens, at the first regular tick
// inside it or, when the interval is longer than the window, at a place in it
// given by the hash: a daily check with a window of one hour runs in it.
func (s *Schedule) nextEvery(after time.Time) time.Time {
	last := s.align(after)
	if len(s.windows) == 0 {
		return last.Add(s.every)
	}
	for tick := last; ; tick = tick.Add(s.every) {
		due := tick
		if !s.Active(tick) {
			due = s.makeUp(tick)
		}
		if due.IsZero() || due.After(after) {
			return due
		}
	}
}

// align is the last regular tick of an interval that is not after at.
func (s *Schedule) align(at time.Time) time.Time {
	// Seconds and nanoseconds apart, lest far dates overflow.
	sec := int64(s.every / time.Second)
	if s.every%time.Second == 0 {
		into := (at.Unix()%sec+sec)%sec*int64(time.Second) + int64(at.Nanosecond())
		since := time.Duration(into) - s.phase
		if since < 0 {
			since += s.every
		}
		return at.Add(-since).Round(0)
	}
	since := (at.UnixNano()%int64(s.every)+int64(s.every))%int64(s.every) - int64(s.phase)
	if since < 0 {
		since += int64(s.every)
	}
	return at.Add(-time.Duration(since)).Round(0)
}

func (s *Schedule) makeUp(tick time.Time) time.Time {
	opens, closes := s.windows.next(tick, s.zone)
	if opens.IsZero() {
		return opens
	}
	if regular := s.align(opens.Add(-1)).Add(s.every); regular.Before(closes) {
		return regular
	}
	length := closes.Sub(opens)
	return opens.Add(time.Duration(s.hash % uint64(length))) //nolint:gosec // a window is not empty, and the remainder is less
}

// nextCron finds the next tick of a cron expression inside the active windows.
func (s *Schedule) nextCron(after time.Time) time.Time {
	for range maxSteps {
		tick := s.tick(after)
		if tick.IsZero() || s.Active(tick) {
			return tick
		}
		opens, _ := s.windows.next(tick, s.zone)
		if opens.IsZero() {
			return opens
		}
		after = opens.Add(-1)
	}
	return time.Time{}
}

// tick is the next instant of a cron expression after after. The library finds
// it on a calendar without daylight saving, one span of equal offset at a
// time, because its own arithmetic skips or doubles ticks, and in zones that
// change at midnight days, where an offset changes.
func (s *Schedule) tick(after time.Time) time.Time {
	at := after.In(s.zone)
	wall := civil(at)
	for range 64 {
		start, end := at.ZoneBounds()
		_, offset := at.Zone()
		next := s.after(wall)
		if next.IsZero() {
			return next
		}
		if repeated := s.doubledUntil(start, offset); next.Before(repeated) {
			wall = repeated.Add(-1)
			continue
		}
		instant := next.Add(-time.Duration(offset) * time.Second)
		if end.IsZero() || instant.Before(end) {
			return instant
		}
		_, ahead := end.Zone()
		resumed := civil(end)
		if gap := end.UTC().Add(time.Duration(offset) * time.Second); ahead > offset && !next.Before(gap) && next.Before(resumed) {
			return end // a time that does not exist
		}
		at, wall = end, resumed.Add(-1)
	}
	return time.Time{}
}

// after asks the library; it gives up after five years, and the 29th of
// February can be eight years away.
func (s *Schedule) after(wall time.Time) time.Time {
	if next := s.cron.Next(wall); !next.IsZero() {
		return next
	}
	return s.cron.Next(wall.AddDate(4, 0, 0))
}

// doubledUntil is the wall time before which all that belongs to the span that
// starts at start happened before, in the span that ended there.
func (s *Schedule) doubledUntil(start time.Time, offset int) time.Time {
	if start.IsZero() || s.hourly {
		return time.Time{}
	}
	_, before := start.Add(-1).Zone()
	if before <= offset {
		return time.Time{}
	}
	return start.UTC().Add(time.Duration(before) * time.Second)
}

// civil is what clocks on the wall show at at, as if they were in UTC.
func civil(at time.Time) time.Time {
	_, offset := at.Zone()
	return at.UTC().Add(time.Duration(offset) * time.Second)
}

// Active reports whether at is inside an active window; always true when there
// are none.
func (s *Schedule) Active(at time.Time) bool {
	if len(s.windows) == 0 {
		return true
	}
	return !s.windows.touching(at, s.zone).IsZero()
}

// Opened is when the active window around at opened: silence before that is no
// reason to call an Assignment Stale. It is zero when there are no windows and
// outside them.
func (s *Schedule) Opened(at time.Time) time.Time {
	if len(s.windows) == 0 {
		return time.Time{}
	}
	return s.windows.opened(at, s.zone)
}

// Interval is the nominal time between runs, active windows aside: of a cron
// expression the longest gap in a fixed span of four years, so that it does
// not depend on the day on which it is asked.
func (s *Schedule) Interval() time.Duration { return s.nominal }

// String is the schedule for people.
func (s *Schedule) String() string {
	var b strings.Builder
	if s.cron != nil {
		fmt.Fprintf(&b, "cron in %s, at most %s apart", s.zone, core.Duration(s.nominal))
	} else {
		fmt.Fprintf(&b, "every %s", core.Duration(s.every))
	}
	if len(s.windows) > 0 {
		b.WriteString(", in active windows")
	}
	return b.String()
}
