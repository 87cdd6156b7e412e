package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// street is a server that watches one target for each name, each second.
type street struct {
	*tocsintest.Server
	targets map[string]*tocsintest.Target
}

// watch starts a server and its targets and waits until all are healthy.
func watch(t *testing.T, names ...string) *street {
	t.Helper()
	st := &street{Server: serve(t), targets: map[string]*tocsintest.Target{}}
	var b strings.Builder
	for _, name := range names {
		one, url := target(t)
		st.targets[name] = one
		b.WriteString(manifest(name, url))
	}
	st.Apply(b.String())
	tocsintest.Until(t, 60*time.Second, "all are healthy", func() bool { return st.count(core.Healthy) == len(names) })
	return st
}

func manifest(name, url string) string {
	return fmt.Sprintf(`
---
apiVersion: tocsin/v1
kind: System
metadata: {name: %[1]s}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: %[1]s-up}
spec:
  systems: [%[1]s]
  every: 1s
  timeout: 900ms
  collect: [{use: http, with: {url: %[2]q}, assert: ['status == 200']}]
  policy: {degraded: 1, unhealthy: 1}
`, name, url)
}

func (st *street) fleet() wire.Fleet {
	var f wire.Fleet
	st.Do(http.MethodGet, "/api/v1/fleet", nil, &f)
	return f
}

func (st *street) count(h core.Health) int {
	return strings.Count(st.fleet().Health, strconv.Itoa(int(h)))
}

const order = `[...document.querySelectorAll('[role=row][data-id]')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map(r => r.dataset.id).join(' ')`

// TestOrder holds the rows in their places while somebody points at them, and
// shows a change of health at once all the same.
func TestOrder(t *testing.T) {
	st := watch(t, "ada", "bob", "cas", "zoe")
	p := open(t, 1440, 900, true)
	p.visit(st.Link)
	p.until(30*time.Second, "all rows are healthy", `document.querySelectorAll('[data-status=healthy]').length === 4`)
	if got := eval[string](p, order); got != "ada bob cas zoe" {
		t.Fatalf("the rows are %s", got)
	}
	p.point("[data-id=bob]")
	st.targets["zoe"].Set(false)
	p.until(15*time.Second, "the row is red", is("zoe", "unhealthy"))
	red := time.Now()
	var transitions wire.Page[core.Transition]
	st.Do(http.MethodGet, "/api/v1/transitions?system=zoe", nil, &transitions)
	if len(transitions.Items) == 0 {
		t.Fatal("there is no transition")
	}
	if late := red.Sub(transitions.Items[0].At); late > time.Second {
		t.Errorf("the row changed %v after the run, want less than 1 s", late)
	}
	p.reads(5*time.Second, "1 change")
	if got := eval[string](p, order); got != "ada bob cas zoe" {
		t.Errorf("the rows moved under the mouse: %s", got)
	}
	p.accessible()
	p.shot("held")
	p.press(".")
	p.until(5*time.Second, "the rows are sorted again", order+` === "zoe ada bob cas"`)
	p.reads(5*time.Second, "status is 503")
	if title := eval[string](p, "document.title"); !strings.HasPrefix(title, "(1) ") {
		t.Errorf("the title is %q, want it to count what is unhealthy", title)
	}
}

// TestKeys goes through the interface without a mouse.
func TestKeys(t *testing.T) {
	t.Parallel()
	st := watch(t, "ada", "payments", "zoe")
	p := open(t, 1440, 900, false)
	p.visit(st.Link)
	p.until(30*time.Second, "the rows are there", is("payments", "healthy"))

	p.press("k", kb.ModifierCtrl)
	p.until(5*time.Second, "the palette has the focus", `document.activeElement.getAttribute('role') === 'combobox' && !!document.querySelector('dialog[open]')`)
	p.accessible()
	p.shot("palette")
	p.press("paym")
	p.until(5*time.Second, "it is found", `document.querySelector('[role=option][aria-selected=true]')?.textContent.includes('payments')`)
	p.press(kb.Enter)
	p.until(15*time.Second, "its page is open", `location.pathname === '/systems/payments'`)
	p.reads(15*time.Second, "within its limits")

	p.press("g")
	p.press("s")
	p.until(5*time.Second, "the list is shown", `location.pathname === '/' && !!document.querySelector('[data-id=zoe]')`)
	p.press("/")
	p.until(5*time.Second, "the filter has the focus", `document.activeElement.getAttribute('aria-label') === 'Filter systems'`)
	p.press("zo")
	p.until(5*time.Second, "the filter filters", order+` === "zoe"`)
	p.shot("filter")
	p.accessible()
	p.press(kb.Enter)
	p.until(5*time.Second, "the filter is in the address", `location.search.includes('q=zo')`)
	p.press(kb.Escape)
	p.press(kb.Escape)
	p.until(5*time.Second, "the filter is gone", order+` === "ada payments zoe" && document.activeElement.getAttribute('aria-label') !== 'Filter systems'`)
	p.press("j")
	p.press("j")
	p.press("k")
	p.press("j")
	p.until(5*time.Second, "the second row is chosen", `document.querySelector('[role=row][aria-selected=true]')?.dataset.id === 'payments'`)
	p.accessible()
	p.press(kb.Enter)
	p.until(5*time.Second, "it is open", `location.pathname === '/systems/payments'`)

	p.press("?")
	p.reads(5*time.Second, "Search or run a command")
	p.until(5*time.Second, "the help is open", `!!document.querySelector('dialog[open]')`)
	p.accessible()
	p.shot("help")
	p.press(kb.Escape)
	p.until(5*time.Second, "the help is closed", `!document.querySelector('dialog[open]')`)
	before := eval[string](p, `getComputedStyle(document.body).backgroundColor`)
	p.press("t")
	p.press("t")
	p.until(5*time.Second, "the theme is another", fmt.Sprintf(`getComputedStyle(document.body).backgroundColor !== %s`, quote(before)))
	for key, path := range map[string]string{"r": "/rules", "c": "/collectors", "a": "/activity"} {
		p.press("g")
		p.press(key)
		p.until(10*time.Second, "g "+key+" goes to "+path, fmt.Sprintf(`location.pathname === %s`, quote(path)))
	}
}

// TestLongList scrolls and filters two thousand systems. The limits are far
// above what is measured, so that a busy machine does not break them: they
// catch what is slower by an order.
func TestLongList(t *testing.T) {
	const n = 2000
	s := serve(t)
	_, url := target(t)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: tocsin/v1\nkind: System\nmetadata: {name: s%04d, title: Number %d}\nspec: {tags: {team: t%d}, groups: [g%d]}\n", i, i, i%7, i%10)
	}
	fmt.Fprintf(&b, "---\napiVersion: tocsin/v1\nkind: Check\nmetadata: {name: up}\nspec:\n  systems: {match: 'system.tags.team == \"t3\"'}\n  every: 10s\n  collect: [{use: http, with: {url: %q}}]\n", url)
	s.Apply(b.String())
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.until(60*time.Second, "all are there", fmt.Sprintf(`window.tocsin?.fleet.size === %d && document.querySelectorAll('[role=row][data-id]').length > 10`, n))
	p.until(60*time.Second, "runs come in", `tocsin.fleet.counts[1] > 50`)
	if nodes := eval[int](p, `document.querySelectorAll('*').length`); nodes > 1500 {
		t.Errorf("the page has %d elements, want only what is on the screen", nodes)
	}
	if rows := eval[int](p, `Number(document.querySelector('[role=grid]').ariaRowCount)`); rows != n+1 {
		t.Errorf("the grid says that it has %d rows, want %d", rows, n+1)
	}

	// Four seconds of scrolling while runs come in.
	got := eval[struct {
		Frames, Long, Worst, Last float64
	}](p, `new Promise(done => {
		const grid = document.querySelector('.vp'), begin = performance.now();
		let frames = 0, long = 0, worst = 0;
		const seen = new PerformanceObserver(l => { for (const e of l.getEntries()) { long += e.duration; worst = Math.max(worst, e.duration) } });
		seen.observe({type: 'longtask'});
		const step = () => {
			frames++;
			grid.scrollTop = (grid.scrollHeight - grid.clientHeight) * Math.min(1, (performance.now() - begin) / 4000);
			if (performance.now() - begin < 4200) requestAnimationFrame(step);
			else { seen.disconnect(); done({Frames: frames, Long: long, Worst: worst, Last: Math.max(...[...document.querySelectorAll('[role=row][data-id]')].map(r => Number(r.ariaRowIndex)))}) }
		};
		requestAnimationFrame(step) })`)
	t.Logf("scrolling: %+v", got)
	if got.Frames < 8 || got.Worst > 2000 {
		t.Errorf("scrolling stands still: %+v", got)
	}
	if got.Last != n+1 {
		t.Errorf("the last row is %v, want %d", got.Last, n+1)
	}
	p.accessible()

	// From a key to what it leaves on the screen.
	p.press("/")
	p.until(5*time.Second, "the filter has the focus", `document.activeElement.getAttribute('aria-label') === 'Filter systems'`)
	eval[int](p, `(addEventListener('keydown', e => { const at = performance.now(); requestAnimationFrame(() => setTimeout(() => { (window.took ??= []).push(performance.now() - at) })) }, true), 0)`)
	p.press("Number 77")
	p.until(10*time.Second, "the filter filters", `document.querySelectorAll('[role=row][data-id]').length > 5 && [...document.querySelectorAll('[role=row][data-id]')].every(r => r.textContent.includes('Number 77') || r.textContent.includes('77'))`)
	worst := eval[float64](p, `Math.max(...took)`)
	t.Logf("filter: %.0f ms from a key to the screen, at worst", worst)
	if worst > 2000 {
		t.Errorf("a key takes %.0f ms to the screen", worst)
	}
	p.press(kb.Escape)
	p.press(kb.Escape)
	p.visit(s.URL + "/?q=group%3Ag3+team%3At3")
	p.until(15*time.Second, "the address filters", `document.querySelector('[role=grid]')?.ariaRowCount > 2 && document.querySelector('[role=grid]').ariaRowCount < 40`)
	p.reads(20*time.Second, "Number")
	p.shot("filtered")
	p.accessible()
	if heap := eval[float64](p, `performance.memory.usedJSHeapSize / 1e6`); heap > 60 {
		t.Errorf("the heap is %.0f MB", heap)
	}
}
