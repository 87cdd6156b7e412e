package e2e_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
)

// known is what a page believes of every system, "ada:healthy bob:unhealthy".
const known = `window.tocsin ? [...tocsin.fleet.all()].map(s => s.id + ':' + s.status).sort().join(' ') : ''`

// TestKilledServer kills the server while it sends, changes the world, and
// starts another one: the page says that it lost the connection, never shows
// what is old as if it were new, and then has exactly the new state.
func TestKilledServer(t *testing.T) {
	t.Parallel()
	st := watch(t, "ada", "bob", "cas", "dot", "eve")
	p := open(t, 1440, 900, true)
	p.visit(st.Link)
	p.until(30*time.Second, "all rows are healthy", `document.querySelectorAll('[data-status=healthy]').length === 5 && tocsin.conn().state === 'live'`)
	born := p.born()

	st.Kill()
	p.reads(15*time.Second, "Connection lost")
	p.until(5*time.Second, "what is shown is marked as old", `!!document.querySelector('.grid.old')`)
	p.accessible()
	p.shot("lost")
	if off := eval[bool](p, `[...document.querySelectorAll('button')].find(b => b.textContent.includes('Add system')).disabled`); !off {
		t.Error("a system can be added while the server is away")
	}
	st.targets["bob"].Set(false)
	st.targets["dot"].Set(false)

	st.Server = st.Again()
	_, url := target(t)
	st.Apply(manifest("fay", url))
	want := "ada:healthy bob:unhealthy cas:healthy dot:unhealthy eve:healthy fay:healthy"
	tocsintest.Until(t, 60*time.Second, "the server knows", func() bool { return st.count(core.Unhealthy) == 2 && st.count(core.Healthy) == 4 })
	took := p.until(30*time.Second, "the page knows exactly what the server knows", fmt.Sprintf(`(%s) === %s`, known, quote(want)))
	t.Logf("the page knew %v after the server", took)
	p.until(15*time.Second, "the banner is gone", `!document.body.innerText.includes('Connection lost') && !document.querySelector('.grid.old')`)
	p.until(15*time.Second, "the unhealthy rows are first", `["bob dot", "dot bob"].includes((`+order+`).split(" ").slice(0, 2).join(" "))`)
	p.until(5*time.Second, "the rows look so", is("bob", "unhealthy")+"&&"+is("dot", "unhealthy")+"&&"+is("fay", "healthy"))
	if p.born() != born {
		t.Error("the page was reloaded")
	}
	// And it is live again.
	st.targets["bob"].Set(true)
	p.until(20*time.Second, "the row recovers live", is("bob", "healthy"))
	p.accessible()
	p.shot("back")
}

// TestStaleSocket stops the server without closing anything: the page says that
// nothing comes, and goes on when something does.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	st := watch(t, "ada", "bob")
	p := open(t, 390, 844, false)
	p.visit(st.Link)
	p.until(30*time.Second, "all rows are healthy", `document.querySelectorAll('[data-status=healthy]').length === 2 && tocsin.conn().state === 'live'`)
	if err := st.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Signal(syscall.SIGCONT) })
	took := p.until(25*time.Second, "the page says that nothing comes", `/No updates for/.test(document.body.innerText) && !!document.querySelector('.grid.old')`)
	t.Logf("the page noticed after %v", took)
	if took < 10*time.Second {
		t.Errorf("the page noticed after %v, want it to wait for two heartbeats", took)
	}
	p.accessible()
	p.fits()
	p.shot("stale")
	if err := st.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.until(30*time.Second, "it is live again", `/Live/.test(document.body.innerText) && !document.querySelector('.grid.old')`)
	st.targets["bob"].Set(false)
	p.until(20*time.Second, "the row is red", is("bob", "unhealthy"))
}
