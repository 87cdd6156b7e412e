package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/web/wire"
)

// TestScript takes a script from the first line to a run of a check: written
// with completion, mended, tested, saved, granted, used.
func TestScript(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, url := target(t)
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "Write a script")
	p.visit(s.URL + "/collectors/new-script")
	p.until(30*time.Second, "the editor", `!!document.querySelector('.cm-content')`)
	p.field("Name of the script")
	p.write("answers")
	p.reads(60*time.Second, "Compiles")
	p.accessible()
	p.shot("new")

	// Completion knows what a script gets; what is wrong is marked in its place.
	eval[int](p, `(document.querySelector('.cm-content').focus(), 0)`)
	eval[int](p, `(document.querySelectorAll('.cm-line')[1].click(), 0)`)
	p.press("http.")
	p.until(10*time.Second, "completion", `[...document.querySelectorAll('.cm-tooltip-autocomplete li')].some(e => e.textContent.startsWith('get'))`)
	p.accessible()
	p.shot("completion")
	p.press("\x1b")
	p.press(" retrun x ")
	p.reads(30*time.Second, "1 problem")
	p.accessible()
	p.shot("problem")

	// The draft is kept in the browser.
	p.until(5*time.Second, "the draft is kept", `Object.values(localStorage).some(v => v.includes('retrun'))`)
	p.click("Discard")
	p.field("Name of the script")
	p.write("answers")
	p.reads(30*time.Second, "Compiles")

	// A test reaches what the script asks for, and says what it lacks.
	p.field("url")
	p.write(url + "/depth")
	p.click("Run it")
	p.reads(60*time.Second, "is not granted")
	p.accessible()
	p.shot("denied")
	p.click("Ask for it, and run again")
	p.reads(30*time.Second, "addresses")
	p.click("Private and loopback addresses too")
	p.click("Run again")
	p.reads(30*time.Second, "status 200")
	p.reads(5*time.Second, "answered 200 in")
	p.accessible()
	p.shot("tested")

	// Saved, it is a module like others: its grant is reviewed.
	p.click("Save 1.0.0")
	p.reads(30*time.Second, "permissions wait for your decision")
	p.accessible()
	p.decide("HTTP", "Allow")
	p.decide("Private and loopback addresses", "Allow")
	p.click("Activate 1.0.0")
	p.reads(30*time.Second, "answers 1.0.0 is active")
	p.shot("active")
	var m wire.ModuleItem
	s.Do("GET", "/api/v1/modules/answers", nil, &m)
	if m.Kind != "script" || m.Use != "script:answers" || len(m.Versions) != 1 || len(m.Versions[0].Manifest.Samples) != 1 {
		t.Errorf("the module is %+v", m)
	}
	s.Apply(`apiVersion: tocsin/v1
kind: System
metadata: {name: shop}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: answers}
spec:
  systems: {names: [shop]}
  every: 1s
  collect:
    - use: script:answers
      with: {url: "` + url + `/depth"}
      assert: [status == 200]
`)
	p.visit(s.URL + "/systems/shop")
	p.reads(60*time.Second, "status 200")

	// The next version begins with the source of this one, without the line
	// that holds what the form said.
	p.visit(s.URL + "/collectors/answers/edit")
	p.until(30*time.Second, "the source", `!!document.querySelector('.cm-content')?.textContent.includes('export default')`)
	if first := eval[string](p, `document.querySelector('.cm-line').textContent`); !strings.HasPrefix(first, "export default") {
		t.Errorf("the source begins with %q", first)
	}
	p.reads(30*time.Second, "Save 1.0.1")
	p.scheme(false)
	p.size(390, 844)
	p.fits()
	p.accessible()
	p.shot("phone")
}
