package main_test

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// binary is the tocsin of this source, built once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-test-")
	if err != nil {
		return "", err
	}
	built = dir
	return tocsintest.Build(dir)
})

var built string // where binary was built, removed by TestMain

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait for other processes: there may be more of them at once
	// than there are processors, unless -parallel says something else.
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set(strconv.Itoa(2 * runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	if built != "" {
		if err := os.RemoveAll(built); err != nil && code == 0 {
			code = 1
		}
	}
	os.Exit(code)
}

func tocsin(t *testing.T) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// watched is a server that watches one target and tells one receiver.
type watched struct {
	*tocsintest.Server
	target   *tocsintest.Target
	receiver *tocsintest.Receiver
	manifest string
}

// watch starts a target, a receiver and a server with a rule whose gate is
// given.
func watch(t *testing.T, gate string) *watched {
	t.Helper()
	w := &watched{target: &tocsintest.Target{}, receiver: tocsintest.NewReceiver()}
	target, receiver := httptest.NewServer(w.target), httptest.NewServer(w.receiver)
	t.Cleanup(target.Close)
	t.Cleanup(receiver.Close)
	w.manifest = fmt.Sprintf(`
apiVersion: tocsin/v1
kind: System
metadata: {name: web}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: up}
spec:
  systems: [web]
  every: 1s
  timeout: 900ms
  collect: [{use: http, with: {url: %q}, assert: ['status == 200']}]
  policy: {degraded: 1, unhealthy: 1}
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.changed
  when: to == "unhealthy"
  gate: %s
  do:
    - webhook: {url: %q, body: {kind: down, episode: "${episode}", system: "${system.id}"}}
      retry: {max: 20, backoff: 100ms}
  recover:
    - webhook: {url: %q, body: {kind: well, episode: "${episode}"}}
`, target.URL, gate, receiver.URL, receiver.URL)
	w.Server = tocsintest.Start(t, tocsin(t), t.TempDir())
	w.Apply(w.manifest)
	w.healthy(t)
	return w
}

func (w *watched) healthy(t *testing.T) {
	t.Helper()
	tocsintest.Until(t, 20*time.Second, "the system is healthy", func() bool { return w.health(t) == core.Healthy })
}

func (w *watched) health(t *testing.T) core.Health {
	t.Helper()
	var detail wire.SystemDetail
	if status, body := w.Do(http.MethodGet, "/api/v1/systems/web/detail", nil, &detail); status != http.StatusOK {
		t.Fatalf("detail: %d %s", status, body)
	}
	return detail.Rolled.Health
}

// restart starts another process over the same data.
func (w *watched) restart(t *testing.T) {
	t.Helper()
	w.Server = tocsintest.Start(t, tocsin(t), w.Data)
}

// TestOutage is the main job: a target goes down, exactly one webhook tells of
// it, and exactly one tells of its recovery.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := watch(t, "{for: 1s}")
	w.target.Set(false)
	tocsintest.Until(t, 20*time.Second, "a webhook tells of the outage", func() bool { return len(w.receiver.Hooks()) > 0 })
	time.Sleep(3 * time.Second) // more failing runs, which must say nothing
	hooks := w.receiver.Hooks()
	if len(hooks) != 1 || hooks[0].Key == "" || !strings.Contains(hooks[0].Body, `"down"`) {
		t.Fatalf("hooks during the outage: %+v, want one that tells of it, with a key", hooks)
	}
	w.target.Set(true)
	tocsintest.Until(t, 20*time.Second, "a webhook tells of the recovery", func() bool { return len(w.receiver.Hooks()) > 1 })
	time.Sleep(2 * time.Second)
	hooks = w.receiver.Hooks()
	if len(hooks) != 2 || !strings.Contains(hooks[1].Body, `"well"`) || hooks[1].Key == hooks[0].Key {
		t.Errorf("hooks after the recovery: %+v, want one more with a key of its own", hooks)
	}
	var decisions wire.Page[core.Decision]
	w.Do(http.MethodGet, "/api/v1/rules/page/decisions", nil, &decisions)
	verdicts := map[core.DecisionVerdict]int{}
	for _, d := range decisions.Items {
		verdicts[d.Verdict]++
		if d.Verdict == core.Fire && len(d.Stages) < 3 {
			t.Errorf("the decision to fire does not say why: %+v", d)
		}
	}
	if verdicts[core.Fire] != 1 || verdicts[core.Recover] != 1 {
		t.Errorf("the trace has %v, want one fire and one recover", verdicts)
	}
	if err := w.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
}

// TestKillDuringDwell proves that the deadline of a dwell outlives kill -9.
func TestKillDuringDwell(t *testing.T) {
	t.Parallel()
	const dwell = 8 * time.Second
	w := watch(t, "{for: 8s}")
	w.target.Set(false)
	tocsintest.Until(t, 20*time.Second, "the system is unhealthy", func() bool { return w.health(t) == core.Unhealthy })
	var transitions wire.Page[core.Transition]
	w.Do(http.MethodGet, "/api/v1/transitions?system=web", nil, &transitions)
	var armed time.Time
	for _, tr := range transitions.Items {
		if tr.To == core.Unhealthy && tr.Subject.Kind == core.OfSystem {
			armed = tr.At
		}
	}
	if armed.IsZero() {
		t.Fatalf("no transition to unhealthy in %+v", transitions.Items)
	}
	time.Sleep(2 * time.Second)
	w.Kill()
	if n := len(w.receiver.Hooks()); n != 0 {
		t.Fatalf("%d hooks before the dwell was over", n)
	}
	w.restart(t)
	tocsintest.Until(t, 30*time.Second, "the webhook after the restart", func() bool { return len(w.receiver.Hooks()) > 0 })
	late := w.receiver.Hooks()[0].At.Sub(armed.Add(dwell))
	if late < -50*time.Millisecond || late > 3*time.Second {
		t.Errorf("fired %v after the deadline that was set before the kill, want 0 to 3 s", late)
	}
	time.Sleep(2 * time.Second)
	if hooks := w.receiver.Hooks(); len(hooks) != 1 {
		t.Errorf("hooks: %+v, want one", hooks)
	}
}

// TestKillDuringDelivery proves that a delivery under way at kill -9 is made
// again with the same key.
func TestKillDuringDelivery(t *testing.T) {
	t.Parallel()
	w := watch(t, "{}")
	hang := make(chan struct{})
	w.receiver.Answer(func(n int) int {
		if n == 0 {
			<-hang
		}
		return http.StatusNoContent
	})
	w.target.Set(false)
	tocsintest.Until(t, 20*time.Second, "the delivery is under way", func() bool { return len(w.receiver.Hooks()) == 1 })
	w.Kill()
	close(hang)
	w.restart(t)
	// The claim of the killed process must run out first.
	tocsintest.Until(t, 60*time.Second, "the delivery is made again", func() bool { return len(w.receiver.Hooks()) > 1 })
	time.Sleep(2 * time.Second)
	hooks := w.receiver.Hooks()
	if len(hooks) != 2 || hooks[0].Key != hooks[1].Key || hooks[0].Body != hooks[1].Body {
		t.Errorf("hooks: %+v, want the same one twice", hooks)
	}
}
