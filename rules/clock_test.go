package rules_test

import (
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// Timers and deliveries go by the clock that they are given, so that it does not
// matter which of several nodes runs the rules, nor what its own clock says.
func TestClock(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	held := page(webhook("call", s.hook.URL, nil))
	held.Gate.For = core.Duration(time.Hour)
	s.apply(1, held)
	ahead := 2 * time.Hour
	_, stop := s.start(nil, rules.DeliveryOptions{Now: func() time.Time { return time.Now().Add(ahead) }})
	s.record(core.Fail, 0)
	eventually(t, "an hour has passed by the clock that is given", func() bool { return len(s.hook.list()) == 1 })
	eventually(t, "the firing is done", func() bool {
		list, err := s.store.Active(t.Context(), "")
		return err == nil && len(list) == 0
	})
	stop()
}
