package schedule

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/tocsin-io/tocsin/core"
)

func problem(path, message, fix string) core.Problem {
	return core.Problem{Path: path, Code: "schedule", Message: message, Fix: fix}
}

// reference is an instant from which a schedule is tried out when there is no
// clock: the beginning of a span of four years with one 29th of February.
func reference() time.Time { return time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC) }

func parseEvery(every core.Duration) (time.Duration, error) {
	d := every.Std()
	switch {
	case d < 0:
		return 0, problem("every", fmt.Sprintf("the interval %s is negative", every), "write for example 30s")
	case d < MinEvery:
		return 0, problem("every", fmt.Sprintf("the interval %s is too short", every), "write 1s or more")
	case d > MaxEvery:
		return 0, problem("every", fmt.Sprintf("the interval %s is too long", every), "write 366d or less")
	}
	return d, nil
}

func parseCron(text string) (*cron.SpecSchedule, error) {
	bad := func(message, fix string) error { return problem("cron", message, fix) }
	if len(text) > maxCron {
		return nil, bad(fmt.Sprintf("the expression has %d bytes", len(text)), fmt.Sprintf("write at most %d", maxCron))
	}
	trimmed := strings.TrimSpace(text)
	if upper := strings.ToUpper(trimmed); strings.HasPrefix(upper, "TZ") || strings.HasPrefix(upper, "CRON_TZ") || strings.Contains(upper, "TZ=") {
		return nil, bad(fmt.Sprintf("%q names a zone inside the expression", text), "put the zone into the field zone")
	}
	if strings.HasPrefix(trimmed, "@") {
		lower := strings.ToLower(trimmed)
		if strings.HasPrefix(lower, "@every") {
			return nil, bad(fmt.Sprintf("%q is an interval", text), "write every: "+orElse(strings.TrimSpace(lower[len("@every"):]), "30s")+" in place of cron")
		}
		trimmed = lower
	} else if fields := len(strings.Fields(trimmed)); fields != 5 && fields != 6 {
		return nil, bad(fmt.Sprintf("%q has %s", text, count(fields)),
			"write 5 (minute hour day month weekday), or 6 with the seconds in front, or @hourly, @daily, @weekly, @monthly, @yearly")
	}
	spec, err := ask(trimmed)
	if err != nil {
		return nil, bad(fmt.Sprintf("%q is not a cron expression: %s", text, err), "see fields as minute hour day month weekday, for example \"*/5 * * * *\"")
	}
	for _, f := range []struct {
		name string
		bits uint64
	}{{"second", spec.Second}, {"minute", spec.Minute}, {"hour", spec.Hour}, {"day", spec.Dom}, {"month", spec.Month}, {"weekday", spec.Dow}} {
		if f.bits == 0 {
			return nil, bad(fmt.Sprintf("%q has no value in its field for the %s", text, f.name), "write a number, a range, or *")
		}
	}
	if (&Schedule{cron: spec, zone: time.UTC}).after(reference()).IsZero() {
		return nil, bad(fmt.Sprintf("%q is never due: no month that it names has such a day", text), "change the day or the month")
	}
	return spec, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func count(fields int) string {
	if fields == 1 {
		return "1 field"
	}
	return fmt.Sprintf("%d fields", fields)
}

// ask has the library parse text. It panics on some input; that is an error of
// the input all the same.
func ask(text string) (spec *cron.SpecSchedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			spec, err = nil, fmt.Errorf("it cannot be read (%v)", r)
		}
	}()
	parser := cron.NewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	parsed, err := parser.Parse(text)
	if err != nil {
		return nil, err //nolint:wrapcheck // the caller says what was asked
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return nil, fmt.Errorf("it is an interval")
	}
	// Its Next is only ever asked on a calendar without daylight saving.
	spec.Location = time.UTC
	return spec, nil
}

func parseZone(name string) (*time.Location, error) {
	if name == "" || name == "UTC" {
		return time.UTC, nil
	}
	if name != "Local" && len(name) <= 64 {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	fix := "write an IANA name such as Europe/Berlin or UTC"
	if near := nearZone(name); near != "" {
		fix = fmt.Sprintf("did you mean %q?", near)
	}
	return nil, problem("zone", fmt.Sprintf("there is no time zone %q", cut(name, 64)), fix)
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// nearZone guesses what was meant: the right case, underscores for blanks, the
// continent put in front. It is empty when no guess is a zone.
func nearZone(name string) string {
	if len(name) > 64 || name == "Local" {
		return ""
	}
	name = strings.ReplaceAll(strings.TrimSpace(name), " ", "_")
	titled := title(name)
	_, city, split := strings.Cut(titled, "/")
	if !split {
		city = titled
	}
	guesses := []string{strings.ToUpper(name), titled, city}
	for _, region := range []string{"Europe", "America", "Asia", "Africa", "Australia", "Pacific", "Atlantic", "Indian", "America/Argentina", "Etc"} {
		guesses = append(guesses, region+"/"+city)
	}
	for _, guess := range guesses {
		if guess == "" || guess == "Local" || strings.HasSuffix(guess, "/") {
			continue
		}
		if _, err := time.LoadLocation(guess); err == nil {
			return guess
		}
	}
	return ""
}

// title makes the first letter of each part upper case and the rest lower, as
// zones are written: "new_york" becomes "New_York".
func title(name string) string {
	b := []byte(strings.ToLower(name))
	for i := range b {
		if (i == 0 || b[i-1] == '/' || b[i-1] == '_' || b[i-1] == '-') && b[i] >= 'a' && b[i] <= 'z' {
			b[i] -= 'a' - 'A'
		}
	}
	return string(b)
}
