package rules_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
)

// parked waits until a firing has a delivery of a kind that has been looked at
// and waits, and returns it.
func (s *site) parked(kind string) core.Delivery {
	s.t.Helper()
	var found core.Delivery
	eventually(s.t, "a "+kind+" that waits", func() bool {
		list, err := s.store.Deliveries(s.t.Context(), "", []core.DeliveryStatus{core.DeliveryWaiting}, 100)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, d := range list {
			if d.Kind == kind && len(d.Output) > 0 {
				found = d
				return true
			}
		}
		return false
	})
	return found
}

func (s *site) paths() []string {
	var out []string
	for _, r := range s.hook.list() {
		out = append(out, r.path+" "+r.body)
	}
	return out
}

// acceptance 33, 34: branches overlap, a wait outlives a restart and is woken
// by what it waits for, and the firing goes on as the rule was when it fired.
func TestFlow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	both := make(chan struct{})
	var once sync.Once
	s.hook.answer = func(_ int, _ http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/side") {
			return
		}
		if s.hook.busy.Load() == 2 { // each branch waits for the other
			once.Do(func() { close(both) })
		}
		select {
		case <-both:
		case <-r.Context().Done():
		}
	}
	hook := func(id, body string) core.Step { return webhook(id, s.hook.URL+"/"+id, body) }
	rule := page(
		core.Step{Let: map[string]string{"env": "system.tags.env", "bad": "total_checks - healthy_checks", "pause": `duration("90s")`}},
		core.Step{Parallel: [][]core.Step{{hook("side1", "x")}, {hook("side2", "x")}}},
		core.Step{ID: "quiet", Wait: &core.Wait{Until: `health == "healthy"`, For: core.Duration(time.Millisecond), Timeout: core.Duration(time.Hour)}},
		core.Step{
			If:   `steps.quiet.outcome == "met" && health == "healthy" && vars.pause > duration("1m")`,
			Then: []core.Step{hook("well", "${vars.env} ${vars.bad} ${health}")},
			Else: []core.Step{hook("ill", "x")},
		},
		core.Step{Repeat: &core.Repeat{ForEach: `["a", "b"]`, Do: []core.Step{hook("each", "${repeat.index}${repeat.item}")}}},
		core.Step{ID: "more", Repeat: &core.Repeat{Until: "repeat.index >= 1", Do: []core.Step{hook("until", "${repeat.index}")}}},
		core.Step{Choose: []core.Choice{{When: "vars.bad > 5", Then: []core.Step{hook("many", "x")}}, {When: "vars.bad == 1", Then: []core.Step{{Stop: &core.Stop{Reason: "only ${vars.bad}"}}}}}},
		hook("never", "x"),
	)
	s.apply(1, rule)
	_, stop := s.start(nil, rules.DeliveryOptions{})
	s.record(core.Fail, 0)
	s.parked("wait")
	stop()
	edited := rule
	edited.Do = []core.Step{hook("edited", "x")}
	s.apply(1, edited)
	s.start(nil, rules.DeliveryOptions{})
	s.record(core.Pass, 0)
	for _, f := range s.final(2) { // the recovery has no steps
		if f.Status != core.FiringDone {
			t.Errorf("firing %s is %s, want done", f.ID, f.Status)
		}
	}
	got := s.paths()
	if len(got) > 2 {
		slices.Sort(got[:2])
	}
	if want := []string{"/side1 x", "/side2 x", "/well prod 1 unhealthy", "/each 0a", "/each 1b", "/until 0", "/until 1"}; !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
	if s.hook.peak() != 2 {
		t.Errorf("%d requests at once, want 2", s.hook.peak())
	}
}

// A wait for what does not come ends at its timeout, and the firing goes on.
func TestWaitEndsAtItsTimeout(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.apply(1, page(
		core.Step{ID: "quiet", Wait: &core.Wait{Until: `health == "healthy"`, Timeout: core.Duration(20 * time.Millisecond)}},
		webhook("told", s.hook.URL, `${steps.quiet.outcome} ${steps.quiet.waited == duration("20ms")}`),
	))
	s.start(nil, rules.DeliveryOptions{})
	s.record(core.Fail, 0)
	s.final(1)
	if got := s.hook.list(); len(got) != 1 || got[0].body != "timeout true" {
		t.Errorf("sent %v, want that it timed out", got)
	}
}

// acceptance 31: a firing that waits is cancelled and stays so, whatever
// happens to what it waited for.
func TestCancelledWhileItWaits(t *testing.T) {
	t.Parallel()
	for _, step := range []core.Step{
		{Wait: &core.Wait{Until: `health == "healthy"`, Timeout: core.Duration(time.Hour)}},
		{Delay: core.Duration(time.Hour)},
	} {
		t.Run(step.Kind(), func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			s.apply(1, page(step, webhook("never", s.hook.URL, "x")))
			s.start(nil, rules.DeliveryOptions{})
			s.record(core.Fail, 0)
			d := s.parked(step.Kind())
			if did, err := s.store.Cancel(t.Context(), d.Firing, time.Now()); err != nil || !did {
				t.Fatalf("cancel is %v (%v), want true", did, err)
			}
			s.record(core.Pass, 0)
			eventually(t, "the transition to be seen", func() bool {
				cursor, _, err := s.store.Load(t.Context())
				head, err2 := s.store.Head(t.Context())
				return err == nil && err2 == nil && cursor == head
			})
			if f, err := s.store.Firing(t.Context(), d.Firing); err != nil || f.Status != core.FiringCancelled || len(s.hook.list()) != 0 {
				t.Errorf("the firing is %s (%v) and %d requests were sent, want cancelled and none", f.Status, err, len(s.hook.list()))
			}
			if next, err := s.store.Next(t.Context()); err != nil || !next.IsZero() {
				t.Errorf("something is due at %v (%v), want nothing", next, err)
			}
		})
	}
}

// A dead step in a branch ends the firing; sending it again lets it go on from
// there, with the other branch.
func TestResendGoesOnInABranch(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	refuse := make(chan struct{})
	s.hook.answer = func(_ int, w http.ResponseWriter, r *http.Request) {
		select {
		case <-refuse:
		default:
			if r.URL.Path == "/bad" {
				w.WriteHeader(http.StatusNotFound)
			}
		}
	}
	hook := func(id string) core.Step { return webhook(id, s.hook.URL+"/"+id, "x") }
	s.apply(1, page(
		core.Step{Parallel: [][]core.Step{{hook("bad"), hook("after")}, {{Delay: core.Duration(10 * time.Hour)}}}},
		hook("end"),
	))
	s.start(nil, rules.DeliveryOptions{})
	s.record(core.Fail, 0)
	if f := s.final(1)[0]; f.Status != core.FiringFailed {
		t.Errorf("the firing is %s, want failed", f.Status)
	}
	dead, err := s.store.Deliveries(t.Context(), "", []core.DeliveryStatus{core.DeliveryDead}, 10)
	if err != nil || len(dead) != 1 || dead[0].Place != "0.0.0" || dead[0].Step.ID != "bad" {
		t.Fatalf("dead are %+v (%v), want the step in the first branch", dead, err)
	}
	close(refuse)
	if err := s.sent.Resend(t.Context(), dead[0].ID); err != nil {
		t.Fatalf("resend: %v", err)
	}
	eventually(t, "the step after it", func() bool { return slices.Contains(s.paths(), "/after x") })
	if d := s.parked("delay"); d.Place != "0.1.0" {
		t.Errorf("%s waits, want the other branch", d.Place)
	}
	if active, err := s.store.Active(t.Context(), "page"); err != nil || len(active) != 1 {
		t.Errorf("%d firings are active (%v), want the one", len(active), err)
	}
	if slices.Contains(s.paths(), "/end x") {
		t.Error("the step after the branches began before both had ended")
	}
}

var _ rules.Changes = store.History(nil)
