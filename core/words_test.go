package core_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

func TestDuration(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		back string
	}{
		{"30s", 30 * time.Second, "30s"},
		{"2m", 2 * time.Minute, "2m"},
		{"90s", 90 * time.Second, "1m30s"},
		{"36h", 36 * time.Hour, "36h"},
		{"1d12h", 36 * time.Hour, "36h"},
		{"24h", 24 * time.Hour, "24h"},
		{"7d", 7 * 24 * time.Hour, "7d"},
		{"0s", 0, "0s"},
		{"1.5s", 1500 * time.Millisecond, "1.5s"},
		{"-5m", -5 * time.Minute, "-5m"},
	} {
		got, err := core.ParseDuration(tt.text)
		if err != nil || got.Std() != tt.want || got.String() != tt.back {
			t.Errorf("%q is %v, written %q, %v; want %v and %q", tt.text, got.Std(), got, err, tt.want, tt.back)
		}
	}
	for _, bad := range []string{"", "30", "soon", "5 m", "d", "1d2", "99999999999d", "1dd"} {
		if d, err := core.ParseDuration(bad); err == nil {
			t.Errorf("%q was read as %v", bad, d)
		}
	}
}

func FuzzDuration(f *testing.F) {
	f.Add("1d12h")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := core.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := core.ParseDuration(d.String()); err != nil || again != d {
			t.Errorf("%q is %v, written %q, read back as %v, %v", text, d.Std(), d, again.Std(), err)
		}
	})
}

func TestCheckName(t *testing.T) {
	for _, good := range []string{"a", "web-01", "A.b_c-9", strings.Repeat("x", core.MaxName)} {
		if err := core.CheckName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, tt := range []struct{ name, want string }{
		{"", "a name is missing"},
		{"-a", "begin and end with"},
		{"a.", "begin and end with"},
		{"a:b", "not ':'"},
		{"ä", "not 'ä'"},
		{"..", "begin and end with"},
		{"a/b", "not '/'"},
		{strings.Repeat("x", core.MaxName+1), "the most is 128"},
	} {
		if err := core.CheckName(tt.name); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestKinds(t *testing.T) {
	for _, tt := range []struct {
		from, to core.Health
		kinds    []core.Kind
	}{
		{core.Unknown, core.Healthy, []core.Kind{core.KindChanged}},
		{core.Unknown, core.Unhealthy, []core.Kind{core.KindChanged, core.KindUnhealthy}},
		{core.Healthy, core.Degraded, []core.Kind{core.KindChanged, core.KindDegraded}},
		{core.Degraded, core.Unhealthy, []core.Kind{core.KindChanged, core.KindUnhealthy, core.KindEscalated}},
		{core.Unhealthy, core.Degraded, []core.Kind{core.KindChanged, core.KindDeescalated}},
		{core.Stale, core.Healthy, []core.Kind{core.KindChanged, core.KindRecovered}},
		{core.Healthy, core.Stale, []core.Kind{core.KindChanged}},
	} {
		got := map[core.Kind]bool{}
		for _, k := range []core.Kind{core.KindChanged, core.KindDegraded, core.KindUnhealthy, core.KindRecovered, core.KindEscalated, core.KindDeescalated} {
			if (core.Transition{From: tt.from, To: tt.to}).Is(k) {
				got[k] = true
			}
		}
		for _, k := range tt.kinds {
			if !got[k] {
				t.Errorf("%v to %v is not %s", tt.from, tt.to, k)
			}
			delete(got, k)
		}
		for k := range got {
			t.Errorf("%v to %v is %s", tt.from, tt.to, k)
		}
	}
}
