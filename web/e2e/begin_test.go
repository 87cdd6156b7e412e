package e2e_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// target starts a server that a test can break and mend.
func target(t *testing.T) (*tocsintest.Target, string) {
	t.Helper()
	out := &tocsintest.Target{}
	s := httptest.NewServer(out)
	t.Cleanup(s.Close)
	return out, s.URL
}

// TestSignIn uses a link twice: the second time says how to get another.
func TestSignIn(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.reads(30*time.Second, "No systems yet")
	if at := eval[string](p, "location.pathname + location.search"); at != "/" {
		t.Errorf("signed in at %s, want / without the secret", at)
	}

	other := open(t, 390, 844, true)
	other.visit(s.Link)
	other.reads(15*time.Second, "This link does not work any more")
	other.reads(time.Second, "tocsin login-link")
	other.accessible()
	other.fits()
	other.shot("used")
	other.visit(s.URL + "/rules")
	other.reads(15*time.Second, "Sign in to Tocsin")
	other.accessible()
	other.fits()
	other.shot("stranger")

	// Who is signed in stays so.
	p.visit(s.URL + "/rules")
	p.reads(15*time.Second, "No rules yet")
	p.accessible()
}

// TestFirstSystem goes from nothing to a healthy row by pasting an address.
func TestFirstSystem(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, url := target(t)
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.reads(30*time.Second, "No systems yet")
	p.accessible()
	p.shot("empty")
	born := p.born()

	p.field("Address to watch")
	p.write("not a host at all/")
	p.click("Watch it")
	p.until(15*time.Second, "the mistake is told", `document.querySelector('[role=alert]')?.innerText.length > 20`)
	p.shot("mistake")
	p.accessible()

	p.field("Address to watch")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write(url)
	p.click("Watch it")
	id := strings.ReplaceAll(strings.TrimPrefix(url, "http://"), ":", "-")
	p.until(15*time.Second, "the page of the system is shown", fmt.Sprintf("location.pathname === %s", quote("/systems/"+id)))
	p.reads(30*time.Second, "Healthy")
	p.click("Systems")
	p.until(15*time.Second, "the row is healthy", is(id, "healthy"))
	if p.born() != born {
		t.Error("the page was reloaded")
	}
	p.accessible()
	p.shot("first")
}

const imported = `apiVersion: tocsin/v1
kind: System
metadata: {name: till, title: The till}
spec: {tags: {team: shop}}
---
apiVersion: tocsin/v1
kind: Check
metadata: {name: till-http}
spec:
  systems: [till]
  every: %s
  timeout: 900ms
  collect: [{use: http, with: {url: %q}}]
`

// TestImport pastes YAML with a mistake, mends it, and imports it.
func TestImport(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, url := target(t)
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.reads(30*time.Second, "No systems yet")
	p.click("Import")
	p.field("Systems, checks and rules")
	p.write(fmt.Sprintf(imported, "never", url))
	p.click("Try without saving")
	p.reads(15*time.Second, "11:10") // line and column of never
	p.accessible()
	p.shot("mistake")

	p.field("Systems, checks and rules")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write(fmt.Sprintf(imported, "1s", url))
	p.click("Try without saving")
	p.reads(15*time.Second, "1 system created, 1 check created")
	p.accessible()
	p.shot("tried")
	p.click("Import")
	p.until(30*time.Second, "the row is healthy", is("till", "healthy"))
	p.reads(5*time.Second, "The till")
	p.accessible()
}
