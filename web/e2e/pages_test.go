package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// TestPages looks at every page in both themes, on a desk and on a phone: axe
// finds nothing, and nothing sticks out of the screen.
func TestPages(t *testing.T) {
	t.Parallel()
	s := serve(t, "--demo")
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.until(60*time.Second, "payments are watched", is("payments", "healthy"))
	var targets []wire.DemoTarget
	s.Do(http.MethodGet, "/api/v1/demo", nil, &targets)
	if status, body := s.Do(http.MethodPut, "/api/v1/demo/payments", map[string]string{"mode": "down"}, nil); status >= 300 {
		t.Fatalf("break payments: %d %s", status, body)
	}
	p.until(60*time.Second, "payments are broken", is("payments", "unhealthy"))
	var decisions wire.Page[core.Decision]
	for deadline := time.Now().Add(60 * time.Second); len(decisions.Items) == 0 || decisions.Items[0].Verdict != core.Fire; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the rule does not fire: %+v", decisions.Items)
		}
		s.Do(http.MethodGet, "/api/v1/rules/outage/decisions", nil, &decisions)
	}
	var runs wire.Page[core.Run]
	s.Do(http.MethodGet, "/api/v1/runs?system=payments&outcome=fail&limit=1", nil, &runs)
	if len(runs.Items) == 0 {
		t.Fatal("payments have no run")
	}
	pages := []struct{ name, path, shows string }{
		{"systems", "/", "Order queue"},
		{"system", "/systems/payments", "status is 503"},
		{"run", fmt.Sprintf("/systems/payments/runs/%d", runs.Items[0].ID), "503"},
		{"rules", "/rules", "Tell of an outage"},
		{"rule", "/rules/outage", "Compiles to"},
		{"rule-new", "/rules/new", "Tell when a system is down"},
		{"rule-blank", "/rules/new?template=flapping", "Compiles to"},
		{"trace", fmt.Sprintf("/rules/outage/trace?open=%d", decisions.Items[0].ID), "Fired"},
		{"collectors", "/collectors", "queue-depth"},
		{"module", "/collectors/queue-depth", "Test run"},
		{"builtin", "/collectors/http", "http"},
		{"check", "/checks/" + runs.Items[0].Assignment[strings.IndexByte(runs.Items[0].Assignment, ':')+1:], "Must hold"},
		{"check-new", "/checks/new?use=wasm:queue-depth&system=payments", "Recordings are kept"},
		{"activity", "/activity", "payments"},
		{"missing", "/nowhere", "There is no such page"},
	}
	for _, dark := range []bool{false, true} {
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		p.scheme(dark)
		p.size(1440, 900)
		for _, page := range pages {
			p.visit(s.URL + page.path)
			p.reads(30*time.Second, page.shows)
			for _, width := range []int{1440, 390, 320} {
				p.narrow(width, map[bool]int{true: 900, false: 844}[width > 600])
				p.fits()
				if width > 320 {
					p.accessible()
					p.shot(fmt.Sprintf("%s-%s-%d", page.name, theme, width))
				}
			}
			p.size(1440, 900)
		}
	}
}
