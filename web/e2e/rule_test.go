package e2e_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// TestRuleByKeyboard writes a rule without a mouse, with a mistake on the way,
// and sees it fire and say why, and stay silent and say why.
func TestRuleByKeyboard(t *testing.T) {
	t.Parallel()
	st := watch(t, "web", "db")
	p := open(t, 1440, 900, false)
	p.visit(st.Link)
	p.until(30*time.Second, "all rows are healthy", `document.querySelectorAll('[data-status=healthy]').length === 2`)
	p.press("k", kb.ModifierCtrl)
	p.until(5*time.Second, "the palette is open", `document.activeElement.getAttribute('role') === 'combobox'`)
	p.press("New rule")
	p.until(5*time.Second, "it is found", `document.querySelector('[role=option][aria-selected=true]')?.textContent.includes('New rule')`)
	p.press(kb.Enter)
	p.reads(15*time.Second, "Begin with")
	p.tabTo("Blank rule")
	p.press(kb.Enter)
	p.until(15*time.Second, "the form is there", `!!document.querySelector('[aria-label="Name of the rule"]')`)
	p.tabTo("Name of the rule")
	p.press("Web is down")

	// A mistake, where it is and how it is mended.
	p.tabTo("Condition")
	p.press(`to == "unhealthy" && len(sytem.name) == 3`)
	p.until(15*time.Second, "the mistake is underlined", `document.querySelector('.cm-lintRange-error')?.textContent === 'sytem'`)
	p.reads(5*time.Second, "system")
	if at := eval[string](p, `document.querySelector('.ex-problems').innerText`); !strings.Contains(at, "sytem") { //nolint:misspell // on purpose
		t.Errorf("the list of problems says %q", at)
	}
	p.accessible()
	p.shot("mistake")
	p.press(kb.Enter, kb.ModifierAlt)
	p.until(5*time.Second, "the fix is made", `document.querySelector('[aria-label=Condition] .cm-line, [aria-label=Condition].cm-content .cm-line').textContent === 'to == "unhealthy" && len(system.name) == 3'`)
	p.reads(15*time.Second, "Compiles to bool")

	// Completion knows the fields.
	p.press(kb.End)
	p.press(` && checks.`)
	p.press(kb.Backspace)
	p.press(` `)
	for range len(" checks ") {
		p.press(kb.Backspace)
	}
	p.press(` system.ta`)
	p.until(10*time.Second, "completion offers tags", `[...document.querySelectorAll('.cm-tooltip-autocomplete li')].some(e => e.textContent.startsWith('tags'))`)
	p.accessible()
	p.shot("completion")
	p.press(kb.Enter)
	p.press(" != nil")
	p.reads(15*time.Second, "Compiles to bool")
	p.until(10*time.Second, "it is written out", `document.querySelector('[aria-label=Condition]').textContent === 'to == "unhealthy" && len(system.name) == 3 && system.tags != nil'`)

	p.tabTo("Add a step")
	p.press(kb.Enter)
	p.until(5*time.Second, "the menu is open", `document.activeElement.getAttribute('role') === 'menuitem'`)
	p.press(kb.ArrowDown)
	p.press(kb.Enter)
	p.until(5*time.Second, "there is a step", `!!document.querySelector('[aria-label="Step 1"]')`)
	p.press("s", kb.ModifierCtrl)
	p.until(15*time.Second, "the rule is saved", `location.pathname === '/rules/web-is-down'`)
	p.reads(15*time.Second, "v1")
	p.accessible()
	p.shot("saved")

	st.targets["web"].Set(false)
	st.targets["db"].Set(false)
	p.tabTo("Trace")
	p.press(kb.Enter)
	p.until(15*time.Second, "the trace is shown", `location.pathname === '/rules/web-is-down/trace'`)
	p.until(30*time.Second, "it fired for web", `[...document.querySelectorAll('.tr-table tbody tr')].some(r => /web/.test(r.innerText) && /Fired/.test(r.innerText))`)
	p.until(30*time.Second, "it passed over db", `[...document.querySelectorAll('.tr-table tbody tr')].some(r => /db/.test(r.innerText) && /Passed over: condition/.test(r.innerText))`)
	p.accessible()
	// The newest decision is about either; open the one that was passed over.
	eval[int](p, `([...document.querySelectorAll('.tr-table tbody tr')].find(r => /db/.test(r.innerText) && /Passed over/.test(r.innerText)).querySelector('button').focus(), 0)`)
	p.press(kb.Enter)
	p.reads(15*time.Second, "Passed over by condition")
	p.until(10*time.Second, "it says of each part what it was", `[...document.querySelectorAll('.tr-more')].some(e => e.innerText.includes('len(system.name) == 3') && e.innerText.includes('false'))`)
	p.accessible()
	p.shot("why")
	var decisions wire.Page[core.Decision]
	st.Do(http.MethodGet, "/api/v1/rules/web-is-down/decisions", nil, &decisions)
	fired := 0
	for _, d := range decisions.Items {
		if d.Verdict == core.Fire {
			fired++
		}
	}
	if fired != 1 {
		t.Errorf("the rule fired %d times, want once", fired)
	}
}

// TestTakenId refuses an id whose address belongs to something else.
func TestTakenId(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 390, 844, true)
	p.visit(s.Link)
	p.visit(s.URL + "/rules/new?template=blank")
	p.field("Name of the rule")
	p.write("Env")
	p.click("Create rule")
	p.reads(15*time.Second, `a rule cannot have the id "env"`)
	p.accessible()
	p.fits()
	p.shot("taken")
}

const quiet = `
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page, title: Page somebody}
spec:
  note: as it was
  on: health.changed
  when: to == "unhealthy"
  do: [{log: {message: "down"}}]
`

// TestConflict edits one rule in two tabs: who saves second sees what differs.
func TestConflict(t *testing.T) {
	t.Parallel()
	s := serve(t)
	s.Apply(quiet)
	one := open(t, 1440, 900, true)
	one.visit(s.Link)
	one.visit(s.URL + "/rules/page")
	one.reads(30*time.Second, "Compiles to")
	two := one.tab(1440, 900)
	two.visit(s.URL + "/rules/page")
	two.reads(30*time.Second, "Compiles to")
	note := func(p *page, text string) {
		p.field("Note")
		eval[int](p, `(document.activeElement.select(), 0)`)
		p.write(text)
	}
	note(one, "as the first wants it")
	note(two, "as the second wants it")
	one.click("Save as v2")
	one.reads(15*time.Second, "is saved as version 2")
	two.reads(15*time.Second, "saved v2 while you were here")
	two.accessible()
	two.click("Save as v2")
	two.reads(15*time.Second, "saved version 2 meanwhile")
	two.until(5*time.Second, "the difference is shown", `(d => d.includes('as the first wants it') && d.includes('as the second wants it'))(document.querySelector('.df').textContent)`)
	two.accessible()
	two.shot("conflict")
	two.click("Save mine over it")
	two.reads(15*time.Second, "is saved as version 3")
	var stored wire.Stored[core.Rule]
	s.Do(http.MethodGet, "/api/v1/rules/page", nil, &stored)
	if stored.Version != 3 || stored.Object.Note != "as the second wants it" {
		t.Errorf("stored is version %d with the note %q", stored.Version, stored.Object.Note)
	}
	one.reads(15*time.Second, "saved v3 while you were here")

	// A draft survives the tab.
	note(two, "half a thought")
	two.until(5*time.Second, "the draft is kept", `Object.values(localStorage).some(v => v.includes('half a thought'))`)
	other := two.tab(1440, 900)
	other.visit(s.URL + "/rules/page")
	other.reads(15*time.Second, "This is the draft that you left")
	other.until(5*time.Second, "it is there", `[...document.querySelectorAll('textarea')].some(e => e.value === 'half a thought')`)
	other.accessible()
}
