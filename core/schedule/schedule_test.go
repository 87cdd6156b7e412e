package schedule_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/schedule"
)

func parse(tb testing.TB, spec schedule.Spec) *schedule.Schedule {
	tb.Helper()
	s, err := schedule.Parse(spec)
	if err != nil {
		tb.Fatalf("parse %+v: %v", spec, err)
	}
	return s
}

func instant(tb testing.TB, text string) time.Time {
	tb.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return at
}

func seconds(n int) core.Duration { return core.Duration(time.Duration(n) * time.Second) }

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	window := func(days, from, to string) []core.ActiveWindow {
		return []core.ActiveWindow{{Days: days, From: from, To: to}}
	}
	for _, c := range []struct {
		spec schedule.Spec
		path string
		says string
	}{
		{schedule.Spec{}, "every", "missing"},
		{schedule.Spec{Every: seconds(30), Cron: "* * * * *"}, "cron", "keep one"},
		{schedule.Spec{Every: seconds(-1)}, "every", "negative"},
		{schedule.Spec{Every: core.Duration(time.Millisecond)}, "every", "write 1s or more"},
		{schedule.Spec{Every: core.Duration(time.Second - 1)}, "every", "write 1s or more"},
		{schedule.Spec{Every: core.Duration(1<<63 - 1)}, "every", "too long"},
		{schedule.Spec{Cron: "TZ=0"}, "cron", "put the zone into the field zone"},
		{schedule.Spec{Cron: "TZ="}, "cron", "field zone"},
		{schedule.Spec{Cron: "CRON_TZ="}, "cron", "field zone"},
		{schedule.Spec{Cron: "TZ=UTC"}, "cron", "field zone"},
		{schedule.Spec{Cron: "TZ=UTC * * * * *"}, "cron", "field zone"},
		{schedule.Spec{Cron: "CRON_TZ=Asia/Tokyo 0 3 * * *"}, "cron", "field zone"},
		{schedule.Spec{Cron: " tz=UTC * * * * *"}, "cron", "field zone"},
		{schedule.Spec{Cron: "\tCRON_TZ=UTC * * * * *"}, "cron", "field zone"},
		{schedule.Spec{Cron: "@every 0s"}, "cron", "write every: 0s in place of cron"},
		{schedule.Spec{Cron: "@every 5m"}, "cron", "write every: 5m in place of cron"},
		{schedule.Spec{Cron: "@every"}, "cron", "write every"},
		{schedule.Spec{Cron: "@reboot"}, "cron", "unrecognized"},
		{schedule.Spec{Cron: " "}, "cron", "0 fields"},
		{schedule.Spec{Cron: "*"}, "cron", "1 field,"[:7]},
		{schedule.Spec{Cron: "* * * *"}, "cron", "4 fields"},
		{schedule.Spec{Cron: "* * * * * * *"}, "cron", "7 fields"},
		{schedule.Spec{Cron: "60 * * * *"}, "cron", "above maximum"},
		{schedule.Spec{Cron: "*/0 * * * *"}, "cron", "positive"},
		{schedule.Spec{Cron: "a b c d e"}, "cron", "not a cron expression"},
		{schedule.Spec{Cron: ", * * * * *"}, "cron", "no value in its field for the second"},
		{schedule.Spec{Cron: "* * * , *"}, "cron", "no value in its field for the month"},
		{schedule.Spec{Cron: "0 0 31 2 *"}, "cron", "never due"},
		{schedule.Spec{Cron: "0 0 0 30 2 *"}, "cron", "never due"},
		{schedule.Spec{Cron: "0 0 31 4,6,9,11 *"}, "cron", "never due"},
		{schedule.Spec{Cron: strings.Repeat("*", 1<<20)}, "cron", "write at most 256"},
		{schedule.Spec{Every: seconds(30), Zone: "Europe/Berlinn"}, "zone", "IANA"},
		{schedule.Spec{Every: seconds(30), Zone: "europe/berlin"}, "zone", `did you mean "Europe/Berlin"`},
		{schedule.Spec{Every: seconds(30), Zone: "new york"}, "zone", `did you mean "America/New_York"`},
		{schedule.Spec{Every: seconds(30), Zone: "Local"}, "zone", "IANA"},
		{schedule.Spec{Every: seconds(30), Zone: "../../etc/passwd"}, "zone", "IANA"},
		{schedule.Spec{Every: seconds(30), Zone: strings.Repeat("x", 1<<20)}, "zone", "no time zone"},
		{schedule.Spec{Every: seconds(30), Active: window("mon-fry", "09:00", "17:00")}, "active[0].days", "not a day"},
		{schedule.Spec{Every: seconds(30), Active: window("mon,", "09:00", "17:00")}, "active[0].days", "not a day"},
		{schedule.Spec{Every: seconds(30), Active: window("", "9:00", "17:00")}, "active[0].from", "HH:MM"},
		{schedule.Spec{Every: seconds(30), Active: window("", "24:00", "17:00")}, "active[0].from", "00:00"},
		{schedule.Spec{Every: seconds(30), Active: window("", "09:00", "24:01")}, "active[0].to", "HH:MM"},
		{schedule.Spec{Every: seconds(30), Active: window("", "09:00", "09:60")}, "active[0].to", "HH:MM"},
		{schedule.Spec{Every: seconds(30), Active: window("", "09:00", "09:00")}, "active[0].to", "empty"},
		{schedule.Spec{Cron: "0 3 * * *", Active: window("", "09:00", "17:00")}, "active", "never due inside"},
		{schedule.Spec{Cron: "0 12 * * sun", Active: window("mon-fri", "09:00", "17:00")}, "active", "never due inside"},
	} {
		_, err := schedule.Parse(c.spec)
		var p core.Problem
		if !errors.As(err, &p) {
			t.Errorf("parse %.80q: got %v, want a core.Problem", fmt.Sprint(c.spec), err)
			continue
		}
		if p.Path != c.path || !strings.Contains(p.Error(), c.says) || p.Fix == "" || len(p.Error()) > 1000 {
			t.Errorf("parse %.80q: got %.300q (fix %q), want path %s and %q", fmt.Sprint(c.spec), p.Error(), p.Fix, c.path, c.says)
		}
	}
}

// TestDaylightSaving: a time that does not exist runs once, at the first valid
// instant after; one that happens twice runs once; what runs in every hour
// goes by the time that passes. acceptance 12.
func TestDaylightSaving(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		zone, cron, from string
		want             []string
	}{
		// Clocks go from 02:00 +01:00 to 03:00 +02:00 on 29 March 2026.
		{"Europe/Berlin", "30 2 * * *", "2026-03-27T12:00:00+01:00", []string{"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"Europe/Berlin", "*/15 2 * * *", "2026-03-28T02:44:00+01:00", []string{"2026-03-28T02:45:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"Europe/Berlin", "30 2,3 * * *", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:30:00+02:00"}},
		{"Europe/Berlin", "0 2,3 * * *", "2026-03-28T12:00:00+01:00", []string{"2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"}},
		{"Europe/Berlin", "0 * * * *", "2026-03-29T00:30:00+01:00", []string{"2026-03-29T01:00:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-29T04:00:00+02:00"}},
		// Clocks go from 03:00 +02:00 to 02:00 +01:00 on 25 October 2026.
		{"Europe/Berlin", "30 2 * * *", "2026-10-24T12:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
		{"Europe/Berlin", "30 2 * * *", "2026-10-25T02:30:00+01:00", []string{"2026-10-26T02:30:00+01:00"}},
		{"Europe/Berlin", "0,30 1-3 * * *", "2026-10-25T01:00:00+02:00", []string{"2026-10-25T01:30:00+02:00", "2026-10-25T02:00:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T03:00:00+01:00", "2026-10-25T03:30:00+01:00"}},
		{"Europe/Berlin", "*/30 * * * *", "2026-10-25T02:00:00+02:00", []string{"2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00", "2026-10-25T02:30:00+01:00", "2026-10-25T03:00:00+01:00"}},
		// Clocks go from 02:00 -05:00 to 03:00 -04:00 on 8 March 2026.
		{"America/New_York", "0 30 2 * * *", "2026-03-07T12:00:00-05:00", []string{"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
		{"America/New_York", "@daily", "2026-03-07T12:00:00-05:00", []string{"2026-03-08T00:00:00-05:00", "2026-03-09T00:00:00-04:00"}},
		// Clocks go from 02:00 -04:00 to 01:00 -05:00 on 1 November 2026.
		{"America/New_York", "30 1 * * *", "2026-10-31T12:00:00-04:00", []string{"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
		{"America/New_York", "59 1 * * sun", "2026-10-31T12:00:00-04:00", []string{"2026-11-01T01:59:00-04:00", "2026-11-08T01:59:00-05:00"}},
		// Where midnight does not exist: 00:00 to 01:00 on 6 September 2026.
		{"America/Santiago", "@daily", "2026-09-05T12:00:00-04:00", []string{"2026-09-06T01:00:00-03:00", "2026-09-07T00:00:00-03:00"}},
		{"America/Santiago", "15 * * * sun", "2026-09-05T12:00:00-04:00", []string{"2026-09-06T01:00:00-03:00", "2026-09-06T01:15:00-03:00"}},
		// Half an hour: 02:00 +10:30 from 11:00 of offset +11 on 5 April 2026.
		{"Australia/Lord_Howe", "45 1 * * *", "2026-04-04T12:00:00+11:00", []string{"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
		// A day that was skipped whole: 30 December 2011 in Samoa.
		{"Pacific/Apia", "0 12 * * *", "2011-12-29T00:00:00-10:00", []string{"2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"}},
		{"", "0 0 29 2 *", "2096-03-01T00:00:00Z", []string{"2104-02-29T00:00:00Z"}},
	} {
		s := parse(t, schedule.Spec{Cron: c.cron, Zone: c.zone})
		at := instant(t, c.from)
		for _, want := range c.want {
			at = s.Next(at)
			if !at.Equal(instant(t, want)) {
				t.Errorf("%s in %s from %s: got %s, want %s", c.cron, c.zone, c.from, at.In(instant(t, want).Location()).Format(time.RFC3339), want)
				break
			}
		}
	}
}

// TestOncePerDay walks through four years of every change of clocks: a daily
// time runs exactly once on each day.
func TestOncePerDay(t *testing.T) {
	t.Parallel()
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "America/Santiago", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"} {
		for _, text := range []string{"0 0 * * *", "30 1 * * *", "30 2 * * *", "59 23 * * *"} {
			s := parse(t, schedule.Spec{Cron: text, Zone: zone})
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 1, 1, 12, 0, 0, 0, loc)
			for range 4 * 365 {
				next := s.Next(at)
				was, is := at.In(loc), next.In(loc)
				if days := date(is).Sub(date(was)) / (24 * time.Hour); days != 1 && was.Hour() != 12 {
					t.Fatalf("%s in %s after %s: got %s, want the day after", text, zone, was, is)
				}
				at = next
			}
		}
	}
}

func date(at time.Time) time.Time {
	return time.Date(at.Year(), at.Month(), at.Day(), 0, 0, 0, 0, time.UTC)
}

// TestSpread: a thousand equal intervals start spread over the interval, keep
// their phases, and each has run within one interval. acceptance 11.
func TestSpread(t *testing.T) {
	t.Parallel()
	const n = 1000
	for _, every := range []time.Duration{time.Second, 1500 * time.Millisecond, 30 * time.Second, 5 * time.Minute, 24 * time.Hour} {
		boot := instant(t, "2026-11-23T10:00:07Z").Add(123456789)
		var buckets [10]int
		for i := range n {
			key := fmt.Sprintf("web-%03d:ping", i)
			s := parse(t, schedule.Spec{Every: core.Duration(every), Key: key})
			first := s.Next(boot)
			wait := first.Sub(boot)
			if wait <= 0 || wait > every {
				t.Fatalf("every %s: first run after %s, want within one interval", every, wait)
			}
			buckets[min(9, int(wait*10/(every+1)))]++
			restarted := parse(t, schedule.Spec{Every: core.Duration(every), Key: key})
			if again := restarted.Next(boot.Add(1000*every + 1)).Sub(first); again%every != 0 {
				t.Fatalf("every %s: the phase moved by %s over a restart", every, again%every)
			}
			if second := s.Next(first); second.Sub(first) != every {
				t.Fatalf("every %s: second run %s after the first", every, second.Sub(first))
			}
		}
		for i, got := range buckets {
			if got < n/20 || got > n/5 {
				t.Errorf("every %s: %d of %d start in tenth %d of the interval, want about %d", every, got, n, i, n/10)
			}
		}
	}
}

func TestIntervalFarFromNow(t *testing.T) {
	t.Parallel()
	s := parse(t, schedule.Spec{Every: seconds(7), Key: "k"})
	for _, from := range []string{"1950-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2261-01-01T00:00:00Z"} {
		at := instant(t, from)
		if next := s.Next(at); !next.After(at) || next.Sub(at) > 7*time.Second {
			t.Errorf("next after %s: got %s", from, next)
		}
	}
}

func TestActiveWindows(t *testing.T) {
	t.Parallel()
	office := []core.ActiveWindow{{Days: "mon-fri", From: "09:00", To: "17:00"}}
	night := []core.ActiveWindow{{Days: "fri,sat", From: "22:00", To: "06:00"}}
	late := []core.ActiveWindow{{From: "22:00", To: "24:00"}, {From: "00:00", To: "02:00"}}
	for _, c := range []struct {
		windows []core.ActiveWindow
		zone    string
		at      string
		opened  string // empty: not active
	}{
		{office, "Europe/Berlin", "2026-11-23T09:00:00+01:00", "2026-11-23T09:00:00+01:00"},
		{office, "Europe/Berlin", "2026-11-23T08:59:59+01:00", ""},
		{office, "Europe/Berlin", "2026-11-23T17:00:00+01:00", ""},
		{office, "Europe/Berlin", "2026-11-23T16:59:59+01:00", "2026-11-23T09:00:00+01:00"},
		{office, "Europe/Berlin", "2026-11-22T12:00:00+01:00", ""},
		{night, "", "2026-11-27T23:00:00Z", "2026-11-27T22:00:00Z"},
		{night, "", "2026-11-28T05:59:59Z", "2026-11-27T22:00:00Z"},
		{night, "", "2026-11-28T06:00:00Z", ""},
		{night, "", "2026-11-29T05:00:00Z", "2026-11-28T22:00:00Z"},
		{night, "", "2026-11-30T05:00:00Z", ""},
		{late, "", "2026-11-23T01:00:00Z", "2026-11-22T22:00:00Z"},
		{late, "", "2026-11-23T02:00:00Z", ""},
	} {
		s := parse(t, schedule.Spec{Every: seconds(30), Active: c.windows, Zone: c.zone})
		at := instant(t, c.at)
		if got := s.Active(at); got != (c.opened != "") {
			t.Errorf("active %v at %s: got %v", c.windows, c.at, got)
		}
		if got := s.Opened(at); c.opened != "" && !got.Equal(instant(t, c.opened)) {
			t.Errorf("opened %v at %s: got %s, want %s", c.windows, c.at, got, c.opened)
		}
	}
}

func TestTicksStayInWindows(t *testing.T) {
	t.Parallel()
	windows := []core.ActiveWindow{{Days: "mon-fri", From: "09:00", To: "17:00"}}
	for _, spec := range []schedule.Spec{
		{Every: seconds(600)},
		{Every: seconds(3600 * 5)},
		{Every: seconds(86400)},
		{Every: seconds(86400 * 7)},
		{Cron: "*/20 * * * *"},
		{Cron: "30 12 * * *"},
	} {
		spec.Active, spec.Zone = windows, "America/New_York"
		for i := range 20 {
			spec.Key = fmt.Sprint("k", i)
			s := parse(t, spec)
			start := instant(t, "2026-10-26T00:00:00Z")
			for at, end := start, start.AddDate(0, 0, 28); ; {
				next := s.Next(at)
				if !s.Active(next) || !next.After(at) {
					t.Fatalf("%+v after %s: got %s, outside its windows", spec, at, next)
				}
				if most := max(s.Interval(), 24*time.Hour) + 3*24*time.Hour; next.Sub(at) > most {
					t.Fatalf("%+v after %s: got %s, more than %s later", spec, at, next, most)
				}
				if again := s.Next(next.Add(-1)); !again.Equal(next) {
					t.Fatalf("%+v: next just before %s is %s", spec, next, again)
				}
				if at = next; at.After(end) {
					break
				}
			}
		}
	}
}

func TestInterval(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for _, c := range []struct {
		spec schedule.Spec
		want time.Duration
	}{
		{schedule.Spec{Every: seconds(30)}, 30 * time.Second},
		{schedule.Spec{Cron: "* * * * *"}, time.Minute},
		{schedule.Spec{Cron: "* * * * * *"}, time.Second},
		{schedule.Spec{Cron: "*/7 * * * * *"}, 7 * time.Second},
		{schedule.Spec{Cron: "*/5 * * * *", Zone: "Europe/Berlin"}, 5 * time.Minute},
		{schedule.Spec{Cron: "*/7 * * * *"}, 7 * time.Minute},
		{schedule.Spec{Cron: "@hourly"}, time.Hour},
		{schedule.Spec{Cron: "@daily"}, day},
		{schedule.Spec{Cron: "30 2 * * *", Zone: "Europe/Berlin"}, day + time.Hour},
		{schedule.Spec{Cron: "0 9-17 * * mon-fri"}, 64 * time.Hour},
		{schedule.Spec{Cron: "@monthly"}, 31 * day},
		{schedule.Spec{Cron: "@yearly"}, 366 * day},
		{schedule.Spec{Cron: "* * 0-22 * * *"}, time.Hour + time.Second},
	} {
		if got := parse(t, c.spec).Interval(); got != c.want {
			t.Errorf("interval of %+v: got %s, want %s", c.spec, got, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"* * * * *", "*/5 1-3 * * mon", "TZ=0", "CRON_TZ=", "@every 0s", "@daily", "0 0 31 2 *", ", * * * * *", "0 0 29 2 *", "? ? ? ? ?", "59/9223372036854775807 * * * *"} {
		f.Add(seed, int64(0), "Europe/Berlin", "mon-fri", "09:00", "17:00")
		f.Add(seed, int64(0), "", "", "", "")
	}
	f.Add("", int64(time.Second), "America/New_York", "fri-mon", "22:00", "06:00")
	f.Add("", int64(-1), "Local", "x", "24:00", "00:00")
	f.Fuzz(func(t *testing.T, cron string, every int64, zone, days, from, to string) {
		spec := schedule.Spec{Cron: cron, Every: core.Duration(every), Zone: zone, Key: cron}
		if from != "" || to != "" {
			spec.Active = []core.ActiveWindow{{Days: days, From: from, To: to}}
		}
		s, err := schedule.Parse(spec)
		if err != nil {
			if err.Error() == "" || len(err.Error()) > 4096 {
				t.Fatalf("parse %+v: error of %d bytes", spec, len(err.Error()))
			}
			return
		}
		if s.Interval() < time.Second {
			t.Fatalf("parse %+v: interval %s", spec, s.Interval())
		}
		at := time.Date(2026, 3, 28, 23, 59, 59, 1, time.UTC)
		for range 5 {
			next := s.Next(at)
			if !next.After(at) || !s.Active(next) {
				t.Fatalf("%+v: next after %s is %s, active %v", spec, at, next, s.Active(next))
			}
			at = next
		}
	})
}

func TestQueueAgainstSorting(t *testing.T) {
	t.Parallel()
	var q schedule.Queue[int]
	entries := make([]*schedule.Entry[int], 3000)
	due := map[int]int64{}
	state := uint64(1)
	random := func(n int) int {
		state = state*6364136223846793005 + 1442695040888963407
		return int(state >> 33 % uint64(n))
	}
	for i := range entries {
		entries[i] = &schedule.Entry[int]{Key: i}
	}
	for range 20_000 {
		i := random(len(entries))
		at := int64(random(1_000_000))
		switch random(3) {
		case 0:
			q.Add(entries[i], time.Unix(0, at))
			due[i] = at
		case 1:
			_, has := due[i]
			if got := q.Remove(entries[i]); got != has {
				t.Fatalf("remove %d: got %v, want %v", i, got, has)
			}
			delete(due, i)
		case 2:
			q.Reschedule(entries[i], time.Unix(0, at))
			if _, has := due[i]; has {
				due[i] = at
			}
		}
		if at, has := due[i]; has != !q.At(entries[i]).IsZero() || has && q.At(entries[i]).UnixNano() != at {
			t.Fatalf("at %d: got %s, want %d", i, q.At(entries[i]), at)
		}
	}
	if q.Len() != len(due) {
		t.Fatalf("len: got %d, want %d", q.Len(), len(due))
	}
	var got, want []int64
	for _, at := range due {
		want = append(want, at)
	}
	slices.Sort(want)
	if e, _ := q.Pop(time.Unix(0, want[0]-1)); e != nil {
		t.Fatalf("pop before the first is due: got %v", e.Key)
	}
	for {
		peeked, _ := q.Peek()
		e, at := q.Pop(time.Unix(1, 0))
		if e == nil {
			break
		}
		if peeked != e || due[e.Key] != at.UnixNano() {
			t.Fatalf("pop %d at %d: peeked %v, due %d", e.Key, at.UnixNano(), peeked, due[e.Key])
		}
		got = append(got, at.UnixNano())
	}
	if !slices.Equal(got, want) {
		t.Errorf("popped %d entries out of order, want %d sorted", len(got), len(want))
	}
}

func ExampleSchedule_Next() {
	s, err := schedule.Parse(schedule.Spec{Cron: "30 2 * * *", Zone: "Europe/Berlin"})
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, time.March, 28, 12, 0, 0, 0, time.UTC)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	for range 2 {
		at = s.Next(at)
		fmt.Println(at.In(berlin))
	}
	// Output:
	// 2026-03-29 03:00:00 +0200 CEST
	// 2026-03-30 02:30:00 +0200 CEST
}
