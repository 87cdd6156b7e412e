package core

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Duration is a length of time that people write: "500ms", "30s", "1h30m",
// "7d". It is text in YAML and JSON.
type Duration time.Duration

// ParseDuration reads what [time.ParseDuration] reads and, besides, days as
// "d" (24 hours each) in front: "7d", "1d12h".
func ParseDuration(s string) (Duration, error) {
	rest, days := s, int64(0)
	if head, tail, ok := strings.Cut(s, "d"); ok && head != "" {
		n, err := strconv.ParseInt(head, 10, 32)
		if err == nil {
			days, rest = n, tail
		}
	}
	var d time.Duration
	if rest != "" || s == "" {
		var err error
		if d, err = time.ParseDuration(rest); err != nil {
			return 0, fmt.Errorf("%q is not a duration; write for example 30s, 5m, 1h30m or 7d", s)
		}
	}
	const day = 24 * time.Hour
	if days > int64((1<<63-1)/day)-1 || days < -int64((1<<63-1)/day)+1 {
		return 0, fmt.Errorf("%q is too long for a duration", s)
	}
	return Duration(time.Duration(days)*day + d), nil
}

// Std is d as the standard library knows it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d as briefly as [ParseDuration] can read back: "2m" and not
// "2m0s", "36h" and not "36h0m0s", "7d" and not "168h".
func (d Duration) String() string {
	const day = 24 * time.Hour
	if whole := time.Duration(d) / day; whole >= 2 && time.Duration(d)%day == 0 {
		return strconv.FormatInt(int64(whole), 10) + "d"
	}
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText writes d as [Duration.String] does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what [ParseDuration] reads.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}
