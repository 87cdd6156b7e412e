package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// depth is a version of a small module.
func depth(t *testing.T, version string, wants core.Grant, messages int) []byte {
	t.Helper()
	return tiny(t, core.Manifest{
		Name: "depth", Version: version, Doc: "How many messages wait.", Author: "Shop team", Wants: wants,
		Schema:  json.RawMessage(`{"type":"object","properties":{"queue":{"type":"string","description":"name of the queue","default":"orders"}}}`),
		Samples: []core.SampleDecl{{Name: "messages", Type: core.IntegerSample, Kind: "gauge", Unit: "messages"}},
	}, map[string]any{"outcome": "pass", "summary": fmt.Sprintf("%d messages", messages), "samples": map[string]any{"messages": messages}}, false)
}

const depthUsers = `
apiVersion: tocsin/v1
kind: System
metadata: {name: orders}
spec: {}
---
apiVersion: tocsin/v1
kind: System
metadata: {name: mail}
spec: {}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: queue, title: Queue is short}
spec:
  systems: [orders, mail]
  every: 1s
  collect: [{use: wasm:depth, assert: [messages < 100]}]
`

// both runs axe in both themes and takes a picture of each, on a desk and on a
// phone.
func (p *page) both(name string) {
	p.t.Helper()
	was := p.dark
	for _, dark := range []bool{!was, was} {
		p.scheme(dark)
		theme := map[bool]string{false: "light", true: "dark"}[dark]
		for _, width := range []int{390, 1440} {
			p.narrow(width, map[bool]int{true: 900, false: 844}[width > 600])
			p.fits()
			p.accessible()
			p.shot(fmt.Sprintf("%s-%s-%d", name, theme, width))
		}
	}
}

// TestRelease follows a module through its life: two versions, the difference
// of what they want, a comparison, a canary, promotion, a rollback, an alias,
// and a version that cannot be deleted.
func TestRelease(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "No module yet")
	one := core.Grant{HTTP: []string{"https://queue.example.com:443"}}
	p.drop("depth-1.wasm", depth(t, "1.4.2", one, 7))
	p.reads(30*time.Second, "1 permission waits for your decision")
	p.decide("HTTP", "Allow")
	p.click("Activate 1.4.2")
	p.reads(15*time.Second, "depth 1.4.2 is active")
	s.Apply(depthUsers)

	// The next version wants more in one place, less in another.
	two := core.Grant{HTTP: []string{"https://*.example.com:443"}, Private: true, Limits: core.Limits{Memory: 32 << 20}}
	p.choose("depth-2.wasm", depth(t, "1.5.0", two, 9))
	p.reads(30*time.Second, "permissions wait for your decision")
	for _, text := range []string{"was https://queue.example.com:443", "It may reach every host under example.com", "More than 1.4.2 was granted", "services that only the inner network can reach"} {
		p.reads(5*time.Second, text)
	}
	p.both("difference")
	if !eval[bool](p, `[...document.querySelectorAll('button')].find(b => b.textContent === 'Activate 1.5.0').disabled`) {
		t.Error("a version can be activated before its permissions are decided")
	}
	p.decide("HTTP", "Allow")
	p.decide("Private and loopback addresses", "Deny")
	p.decide("Limits", "Allow")

	// Side by side with the active version.
	p.click("Compare with 1.4.2")
	p.click("Run once")
	p.until(30*time.Second, "both results are shown", `(t => t.includes('7 messages') && t.includes('9 messages'))(document.querySelector('.co-compare')?.innerText ?? '')`)
	p.both("compared")

	// A canary on one system.
	p.click("Other ways")
	p.click("Try it on a share or on systems")
	p.reads(5*time.Second, "Share of the assignments")
	p.field("Per cent")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write("0")
	p.field("And on these systems")
	p.write("mail")
	p.until(5*time.Second, "it is offered", `!!document.querySelector('[role=option]')`)
	p.press("\r")
	p.until(5*time.Second, "it is chosen", `!!document.querySelector('dialog .co-chip')`)
	p.accessible()
	p.shot("canary-dialog")
	p.click("Start the canary")
	p.reads(15*time.Second, "1 assignment runs it since")
	p.both("canary")
	var m wire.ModuleItem
	s.Do("GET", "/api/v1/modules/depth", nil, &m)
	if m.Canary == nil || m.Canary.Version != "1.5.0" || fmt.Sprint(m.Canary.Systems) != "[mail]" || m.Stable != "1.4.2" {
		t.Fatalf("the canary is %+v with %s active", m.Canary, m.Stable)
	}
	if g := m.Versions[0].Grant; g.Private || fmt.Sprint(g.HTTP) != fmt.Sprint(two.HTTP) || g.Limits.Memory != 32<<20 {
		t.Errorf("granted is %+v", g)
	}
	p.visit(s.URL + "/collectors")
	p.reads(15*time.Second, "Canary 1.5.0")
	p.both("list")
	p.visit(s.URL + "/collectors/depth")
	p.click("Promote")
	p.reads(15*time.Second, "1.5.0 is active everywhere")

	// An alias, then back with one click.
	p.click("Add")
	p.field("Alias")
	p.write("beta")
	p.click("Save the alias")
	p.reads(15*time.Second, "@beta means 1.5.0")
	p.reads(5*time.Second, "2 assignments, next run")
	p.click("Roll back to 1.4.2")
	p.reads(15*time.Second, "depth is back at 1.4.2; 2 assignments, next run")
	p.reads(5*time.Second, "rolled back from 1.5.0 to 1.4.2")
	p.both("rolled-back")
	s.Do("GET", "/api/v1/modules/depth", nil, &m)
	if m.Stable != "1.4.2" || m.Aliases["beta"] != "1.5.0" {
		t.Errorf("stable is %s, aliases %v", m.Stable, m.Aliases)
	}

	// What is in use stays.
	p.click("More about 1.4.2")
	p.click("Delete")
	p.reads(5*time.Second, "It cannot be deleted")
	if text := p.text(); !strings.Contains(text, "queue") {
		t.Errorf("it is not said who uses it:\n%s", text)
	}
	p.accessible()
}

// TestCheckWithModule writes a check for a module: pin, configuration, an
// assertion that completes its samples, sampling.
func TestCheckWithModule(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "No module yet")
	p.drop("depth-1.wasm", depth(t, "1.4.2", core.Grant{}, 700))
	p.reads(30*time.Second, "No check uses it yet")
	p.click("Activate 1.4.2")
	p.reads(15*time.Second, "depth 1.4.2 is active")
	s.Apply("apiVersion: tocsin/v1\nkind: System\nmetadata: {name: orders}\nspec: {}\n")
	p.visit(s.URL + "/checks/new?use=wasm:depth&system=orders")
	p.reads(15*time.Second, "What it asks")
	p.field("Name")
	p.write("Queue is short")
	p.field("Version")
	eval[int](p, `(() => { const e = document.activeElement; e.value = '1.4.2'; e.dispatchEvent(new Event('change', {bubbles: true})); return 0 })()`)
	p.reads(5*time.Second, "It stays at this when a new version is activated")
	p.click("Add an assertion")
	p.until(15*time.Second, "the editor is there", `!!document.querySelector('.cm-content[aria-label="Assertion 1"]')`)
	eval[int](p, `(document.querySelector('.cm-content[aria-label="Assertion 1"]').focus(), 0)`)
	p.press("mess")
	p.until(10*time.Second, "completion offers the sample", `[...document.querySelectorAll('.cm-tooltip-autocomplete li')].some(e => e.textContent.startsWith('messages'))`)
	p.accessible()
	p.shot("completion")
	p.press("\r")
	p.press(" < 100 && mesages > 0")
	p.until(15*time.Second, "the mistake is underlined", `document.querySelector('.cm-lintRange-error')?.textContent === 'mesages'`)
	p.press("\r", 1) // Alt Enter
	p.until(5*time.Second, "the fix is made", `document.querySelector('.cm-content[aria-label="Assertion 1"]').textContent === 'messages < 100 && messages > 0'`)
	p.field("Recordings are kept")
	eval[int](p, `(() => { const e = document.activeElement; e.value = 'all'; e.dispatchEvent(new Event('change', {bubbles: true})); return 0 })()`)
	p.both("check")
	p.click("Create check")
	p.until(15*time.Second, "the check is saved", `location.pathname === '/checks/queue-is-short'`)
	var stored wire.Stored[core.Check]
	s.Do("GET", "/api/v1/checks/queue-is-short", nil, &stored)
	if got := stored.Object.Collect; len(got) != 1 || got[0].Use != "wasm:depth@1.4.2" || got[0].Sampling != core.SampleAll || fmt.Sprint(got[0].Assert) != "[messages < 100 && messages > 0]" {
		t.Errorf("stored is %+v", got)
	}

	var runs wire.Page[core.Run]
	for deadline := time.Now().Add(60 * time.Second); len(runs.Items) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not run")
		}
		s.Do("POST", "/api/v1/assignments/orders:queue-is-short/run", nil, nil)
		s.Do("GET", "/api/v1/runs?system=orders&limit=1", nil, &runs)
	}
	p.visit(fmt.Sprintf("%s/systems/orders/runs/%d", s.URL, runs.Items[0].ID))
	p.reads(15*time.Second, "depth@1.4.2")
	p.both("run")
	p.click("Replay")
	p.reads(30*time.Second, "Identical")
	p.reads(5*time.Second, "did the same")
	p.both("replayed")
}

// TestTrouble shows what goes wrong with a module that is in use: a canary that
// is held by itself, and a file that cannot be run any more.
func TestTrouble(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	s := tocsintest.Start(t, path, data)
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "No module yet")
	p.drop("depth-1.wasm", depth(t, "1.4.2", core.Grant{}, 7))
	p.reads(30*time.Second, "No check uses it yet")
	p.click("Activate 1.4.2")
	p.reads(15*time.Second, "depth 1.4.2 is active")
	var users strings.Builder
	for i := range 10 {
		fmt.Fprintf(&users, "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: queue-%d}\nspec: {}\n---\n", i)
	}
	s.Apply(users.String() + "apiVersion: tocsin/v1\nkind: Check\nmetadata: {name: depth}\nspec:\n  systems: {match: 'true'}\n  every: 1s\n  collect: [{use: wasm:depth}]\n")
	broken := tiny(t, core.Manifest{Name: "depth", Version: "1.5.0"}, map[string]any{"outcome": "error", "summary": "it cannot count"}, false)
	p.choose("depth-2.wasm", broken)
	p.reads(30*time.Second, "1.5.0")
	p.click("Other ways")
	p.click("Try it on a share or on systems")
	p.field("Per cent")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write("50")
	p.click("Start the canary")
	p.reads(90*time.Second, "because it did worse")
	p.both("held")
	var m wire.ModuleItem
	s.Do("GET", "/api/v1/modules/depth", nil, &m)
	if m.Canary == nil || m.Canary.Held.IsZero() || m.Stable != "1.4.2" {
		t.Errorf("the canary is %+v with %s active", m.Canary, m.Stable)
	}

	// The run page says what a run used of its limits.
	var runs wire.Page[core.Run]
	s.Do("GET", "/api/v1/runs?outcome=error&limit=1", nil, &runs)
	if len(runs.Items) == 0 {
		t.Fatal("no run of the canary is stored")
	}
	p.visit(fmt.Sprintf("%s/systems/%s/runs/%d", s.URL, strings.TrimSuffix(runs.Items[0].Assignment, ":depth"), runs.Items[0].ID))
	p.until(15*time.Second, "time, instructions and memory stand against their limits", `['Time', 'Instructions', 'Memory'].every(name => document.querySelector('[role=meter][aria-label="' + name + ' against its limit"]'))`)
	p.both("usage")

	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	db := filepath.Join(data, "tocsin.db")
	text, err := os.ReadFile(db)
	if err != nil {
		t.Fatal(err)
	}
	damaged := bytes.ReplaceAll(text, []byte(`"summary":"7 messages"`), []byte(`"summary":"7 MESSAGES"`))
	if bytes.Equal(damaged, text) {
		t.Fatal("the database does not hold the module as it was uploaded")
	}
	if err := os.WriteFile(db, damaged, 0o600); err != nil {
		t.Fatal(err)
	}
	s = s.Again()
	tocsintest.Until(t, 60*time.Second, "the module cannot run", func() bool {
		s.Do("GET", "/api/v1/modules/depth", nil, &m)
		return m.Error != ""
	})
	p.visit(s.Link)
	p.visit(s.URL + "/collectors/depth")
	p.reads(30*time.Second, "A version that is in use cannot run")
	p.reads(5*time.Second, "the file is damaged")
	p.both("broken")
	p.visit(s.URL + "/collectors")
	p.reads(15*time.Second, "depth")
	p.both("broken-list")
}
