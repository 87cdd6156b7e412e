package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// is a JavaScript condition: the row of a system in the list has a health.
func is(system, health string) string {
	return fmt.Sprintf(`document.querySelector('[role=row][data-id="%s"][data-status=%s]') != null`, system, health)
}

// received is what the demo's webhook receiver got about payments.
func received(t *testing.T, shop string) []map[string]any {
	t.Helper()
	resp, err := http.Get(shop + "/hook")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var all []struct {
		Key  string            `json:"idempotency_key"`
		Body map[string]string `json:"body"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&all); err != nil {
		t.Fatal(err)
	}
	var out []map[string]any
	for _, r := range all {
		if r.Body["system"] == "payments" {
			out = append(out, map[string]any{"key": r.Key, "text": r.Body["text"], "episode": r.Body["episode"]})
		}
	}
	return out
}

// TestMainJob is the whole way on real parts: scheduler, SQLite, a Wasm
// collector, a rule, a webhook receiver, a socket and a browser.
//
// acceptance 44.
func TestMainJob(t *testing.T) {
	s := serve(t, "--demo")
	p := open(t, 1440, 900, true)
	p.visit(s.Link)

	for _, name := range []string{"Shop front", "Shop API", "Search", "Payments", "Order queue", "Recommender", "Order database"} {
		p.reads(20*time.Second, name)
	}
	p.until(30*time.Second, "the queue, which a Wasm collector asks, is healthy", is("queue", "healthy"))
	p.until(30*time.Second, "payments are healthy", is("payments", "healthy"))
	p.shot("systems")
	p.accessible()

	// Break it. From the run that finds out to the red row: no reload, 2 s.
	before := eval[float64](p, "performance.timeOrigin")
	var shop string
	var targets []struct{ System, URL string }
	s.Do(http.MethodGet, "/api/v1/demo", nil, &targets)
	for _, target := range targets {
		if target.System == "payments" {
			shop = strings.TrimSuffix(target.URL, "/payments")
		}
	}
	if shop == "" {
		t.Fatalf("no demo target for payments in %+v", targets)
	}
	resp, err := http.Post(shop+"/payments/break", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.until(20*time.Second, "the row of payments is red", is("payments", "unhealthy"))
	red := time.Now()
	if eval[float64](p, "performance.timeOrigin") != before {
		t.Error("the page was reloaded")
	}
	var transitions wire.Page[core.Transition]
	s.Do(http.MethodGet, "/api/v1/transitions?system=payments", nil, &transitions)
	for _, tr := range transitions.Items {
		if tr.Subject.Kind == core.OfSystem && tr.To == core.Unhealthy {
			if late := red.Sub(tr.At); late > 2*time.Second {
				t.Errorf("the row turned red %v after the run, want at most 2 s", late)
			} else {
				t.Logf("the row turned red %v after the run", late)
			}
			break
		}
	}
	p.shot("red")

	// The rule tells its receiver exactly once, with a key.
	tocsintest.Until(t, 30*time.Second, "the receiver is told", func() bool { return len(received(t, shop)) > 0 })
	time.Sleep(4 * time.Second)
	if got := received(t, shop); len(got) != 1 || got[0]["key"] == "" {
		t.Errorf("the receiver got %v, want one request with a key", got)
	}

	// The trace says why.
	p.visit(s.URL + "/rules/outage/trace")
	p.reads(20*time.Second, "payments")
	p.reads(20*time.Second, "Fired")
	p.accessible()
	p.shot("trace")

	// The system page gives the reason first.
	p.visit(s.URL + "/systems/payments")
	p.reads(20*time.Second, "status is 503")
	p.shot("system")
	p.accessible()

	if resp, err = http.Post(shop+"/payments/mend", "", nil); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	tocsintest.Until(t, 30*time.Second, "the receiver is told of the recovery", func() bool { return len(received(t, shop)) > 1 })
	time.Sleep(3 * time.Second)
	if got := received(t, shop); len(got) != 2 || got[0]["key"] == got[1]["key"] || got[0]["episode"] != got[1]["episode"] {
		t.Errorf("the receiver got %v, want one request more, with a key of its own and the same episode", got)
	}
	p.reads(20*time.Second, "within its limits")
}
