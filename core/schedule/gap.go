package schedule

import (
	"math/bits"
	"time"
)

// longest is the longest time between two ticks, active windows aside.
func (s *Schedule) longest() time.Duration {
	if s.cron == nil {
		return s.every
	}
	first, last, within := s.day()
	days := s.daysApart()
	if days == 0 { // the 29th of February
		return 4 * 366 * 24 * time.Hour
	}
	gap := max(within, time.Duration(days)*24*time.Hour-last+first)
	if s.hourly {
		return gap // goes by the time that passes
	}
	return max(gap, s.longestShift(gap))
}

// daysApart is the most days from one day with ticks to the next; 0 when there
// are not two such days in four years.
func (s *Schedule) daysApart() int {
	const everyMonth = 1<<13 - 2
	if s.cron.Dom&star != 0 && s.cron.Dow&star != 0 && s.cron.Month&everyMonth == everyMonth {
		return 1
	}
	most, previous, date := 0, -1, reference()
	for day := range 4*366 + 1 {
		if s.matches(date) {
			if previous >= 0 {
				most = max(most, day-previous)
			}
			previous = day
		}
		date = date.Add(24 * time.Hour)
	}
	return most
}

// day is the first and the last tick of a day, and the longest gap in between.
func (s *Schedule) day() (first, last, within time.Duration) {
	first = -1
	low := time.Duration(bits.TrailingZeros64(s.cron.Second)) * time.Second
	high := time.Duration(63-bits.LeadingZeros64(s.cron.Second&(1<<60-1))) * time.Second
	previous := -1
	for second := range 60 {
		if s.cron.Second&(1<<second) == 0 {
			continue
		}
		if previous >= 0 {
			within = max(within, time.Duration(second-previous)*time.Second)
		}
		previous = second
	}
	for minute := range 24 * 60 {
		if s.cron.Hour&(1<<(minute/60)) == 0 || s.cron.Minute&(1<<(minute%60)) == 0 {
			continue
		}
		at := time.Duration(minute) * time.Minute
		if first < 0 {
			first = at + low
		} else {
			within = max(within, at+low-last)
		}
		last = at + high
	}
	return first, last, within
}

// star is the bit by which the library marks a field that was "*".
const star = 1 << 63

// matches reports whether the expression is due on the day of date: as cron
// does, on either day when both the day of the month and of the week are
// given.
func (s *Schedule) matches(date time.Time) bool {
	if s.cron.Month&(1<<uint(date.Month())) == 0 {
		return false
	}
	dom := s.cron.Dom&(1<<uint(date.Day())) != 0
	dow := s.cron.Dow&(1<<uint(date.Weekday())) != 0
	if s.cron.Dom&star != 0 || s.cron.Dow&star != 0 {
		return dom && dow
	}
	return dom || dow
}

// longestShift is the longest gap around the changes of offset in a year:
// where clocks are put back, a daily tick is 25 hours after the one before.
func (s *Schedule) longestShift(gap time.Duration) time.Duration {
	longest := time.Duration(0)
	at, end := reference().In(s.zone), reference().AddDate(1, 0, 0)
	for {
		_, change := at.ZoneBounds()
		if change.IsZero() || change.After(end) {
			return longest
		}
		before := s.tick(change.Add(-gap - time.Second))
		for !before.IsZero() && before.Before(change.Add(3*time.Hour)) {
			next := s.tick(before)
			if next.IsZero() {
				break
			}
			longest = max(longest, next.Sub(before))
			before = next
		}
		at = change
	}
}
