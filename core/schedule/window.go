package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// window is an active window: minutes of a day on certain weekdays. When to is
// not after from it ends on the following day.
type window struct {
	days     [7]bool // by time.Weekday, of the day on which it opens
	from, to int     // minutes after midnight, to at most 24*60
}

type windows []window

const weekdays = "sun,mon,tue,wed,thu,fri,sat"

// maxWindows bounds the active windows of one schedule.
const maxWindows = 64

func parseWindows(active []core.ActiveWindow) (windows, error) {
	if len(active) > maxWindows {
		return nil, problem("active", fmt.Sprintf("%d windows are too many", len(active)), fmt.Sprintf("write at most %d", maxWindows))
	}
	var out windows
	for i, a := range active {
		path := fmt.Sprintf("active[%d].", i)
		days, err := parseDays(a.Days, path+"days")
		if err != nil {
			return nil, err
		}
		from, err := parseMinute(a.From, path+"from")
		if err != nil {
			return nil, err
		}
		to, err := parseMinute(a.To, path+"to")
		if err != nil {
			return nil, err
		}
		switch from {
		case 24 * 60:
			return nil, problem(path+"from", "24:00 is the end of a day, not its beginning", "write 00:00 of the day after")
		case to:
			return nil, problem(path+"to", fmt.Sprintf("the window from %s to %s is empty", a.From, a.To), "write 00:00 to 24:00 for the whole day")
		}
		out = append(out, window{days: days, from: from, to: to})
	}
	return out, nil
}

func parseDays(text, path string) ([7]bool, error) {
	var days [7]bool
	if strings.TrimSpace(text) == "" {
		return [7]bool{true, true, true, true, true, true, true}, nil
	}
	if len(text) > maxCron {
		return days, problem(path, "the list of days is too long", "write for example mon-fri or sat,sun")
	}
	for part := range strings.SplitSeq(strings.ToLower(text), ",") {
		first, last, span := strings.Cut(part, "-")
		if !span {
			last = first
		}
		a, b := weekday(first), weekday(last)
		if a < 0 || b < 0 {
			return days, problem(path, fmt.Sprintf("%q is not a day or a span of days", strings.TrimSpace(part)), "write for example mon-fri or sat,sun")
		}
		for day := a; ; day = (day + 1) % 7 { // fri-mon reaches over the weekend
			days[day] = true
			if day == b {
				break
			}
		}
	}
	return days, nil
}

// weekday reads "mon", "monday" and what is between; -1 when it is none.
func weekday(text string) int {
	text = strings.TrimSpace(text)
	if len(text) < 3 {
		return -1
	}
	at := strings.Index(weekdays, text[:3])
	if at < 0 || at%4 != 0 || !strings.HasPrefix(strings.ToLower(time.Weekday(at/4).String()), text) {
		return -1
	}
	return at / 4
}

func parseMinute(text, path string) (int, error) {
	bad := problem(path, fmt.Sprintf("%q is not a time of day", cut(text, 32)), "write HH:MM, from 00:00 to 24:00")
	if len(text) != 5 || text[2] != ':' {
		return 0, bad
	}
	digits := text[:2] + text[3:]
	for _, c := range []byte(digits) {
		if c < '0' || c > '9' {
			return 0, bad
		}
	}
	hour, minute := int(digits[0]-'0')*10+int(digits[1]-'0'), int(digits[2]-'0')*10+int(digits[3]-'0')
	if minute > 59 || hour > 24 || hour == 24 && minute != 0 {
		return 0, bad
	}
	return hour*60 + minute, nil
}

// opened is when the span of windows began that at is inside of, zero when it
// is outside. Windows that overlap or touch are one span, of at most two weeks.
func (ws windows) opened(at time.Time, zone *time.Location) time.Time {
	opened := ws.touching(at, zone)
	for range 14 {
		before := ws.touching(opened.Add(-1), zone)
		if opened.IsZero() || before.IsZero() {
			break
		}
		opened = before
	}
	return opened
}

// touching is when the first of those windows opened that at is inside of,
// zero when there is none.
func (ws windows) touching(at time.Time, zone *time.Location) (opens time.Time) {
	local := at.In(zone)
	year, month, day := local.Date()
	for _, w := range ws {
		for back := range 2 { // opened today, or yesterday and reaches over midnight
			start, end, ok := w.on(year, month, day-back, zone)
			if !ok || at.Before(start) || !at.Before(end) {
				continue
			}
			if opens.IsZero() || start.Before(opens) {
				opens = start
			}
		}
	}
	return opens
}

// next is the first window that opens after at, zero when there is none.
func (ws windows) next(at time.Time, zone *time.Location) (opens, closes time.Time) {
	local := at.In(zone)
	year, month, day := local.Date()
	for ahead := range 9 { // a week, and a day that daylight saving may have emptied
		for _, w := range ws {
			start, end, ok := w.on(year, month, day+ahead, zone)
			if ok && start.After(at) && (opens.IsZero() || start.Before(opens)) {
				opens, closes = start, end
			}
		}
		if !opens.IsZero() {
			return opens, closes
		}
	}
	return opens, closes
}

// on is the window that opens on a day; not ok when none does, or when
// daylight saving leaves nothing of it.
func (w window) on(year int, month time.Month, day int, zone *time.Location) (opens, closes time.Time, ok bool) {
	noon := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
	if !w.days[noon.Weekday()] {
		return opens, closes, false
	}
	until := day
	if w.to <= w.from {
		until++
	}
	opens = time.Date(year, month, day, 0, w.from, 0, 0, zone)
	closes = time.Date(year, month, until, 0, w.to, 0, 0, zone)
	return opens, closes, opens.Before(closes)
}
