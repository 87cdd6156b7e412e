package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// need fails the test under CI, and skips it elsewhere, for want of a
// component.
func need(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" { //nolint:forbidigo // a test may skip here, and not there
		t.Fatalf("%s is missing", what)
	}
	t.Skipf("%s is missing", what)
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "tocsin-e2e-")
	if err != nil {
		return "", err
	}
	built = dir
	return tocsintest.Build(dir)
})

var built string

func TestMain(m *testing.M) {
	code := m.Run()
	quit()
	if built != "" {
		if err := os.RemoveAll(built); err != nil && code == 0 {
			code = 1
		}
	}
	os.Exit(code) //nolint:forbidigo // as TestMain does
}

// serve starts the real binary over an empty data directory.
func serve(t *testing.T, args ...string) *tocsintest.Server {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return tocsintest.Start(t, path, t.TempDir(), args...)
}

// browser is one process for all tests; each has cookies of its own.
var browser = sync.OnceValues(func() (context.Context, error) {
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium()), chromedp.NoSandbox, chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true), chromedp.WSURLReadTimeout(time.Minute))
	allocator, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancelTab := chromedp.NewContext(allocator)
	quit = func() { cancelTab(); cancel() }
	return ctx, chromedp.Do(ctx) // starts the browser, which lives as long as ctx
})

var quit = func() {}

// chromium is the path of a browser, empty when there is none.
func chromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// page is one tab of a headless browser.
type page struct {
	t    *testing.T
	ctx  context.Context
	dark bool

	mu       sync.Mutex
	mistakes []string // guarded by mu: exceptions, console errors, CSP violations
}

// open begins a tab that shares nothing with others: nobody is signed in there.
func open(t *testing.T, width, height int, dark bool) *page {
	t.Helper()
	if chromium() == "" {
		need(t, "Chromium (the command chromium)")
	}
	ctx, err := browser()
	if err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	p := newPage(t, ctx, chromedp.WithNewBrowserContext())
	p.size(width, height)
	p.scheme(dark)
	return p
}

// tab begins another tab of the same person.
func (p *page) tab(width, height int) *page {
	p.t.Helper()
	other := newPage(p.t, p.ctx)
	other.size(width, height)
	other.scheme(p.dark)
	return other
}

// violations tells of what the content security policy refuses, which the
// browser says in words that change.
const violations = `addEventListener('securitypolicyviolation', e => console.error('CSP: ' + e.violatedDirective + ' refuses ' + (e.blockedURI || e.sample)))`

func newPage(t *testing.T, parent context.Context, options ...chromedp.ContextOption) *page { //nolint:revive // t comes first in tests
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("open a tab: %v", err)
	}
	p := &page{t: t}
	go p.listen(chromedp.Console(ctx))
	ctx, cancelTime := context.WithTimeout(ctx, 4*time.Minute)
	t.Cleanup(cancelTime)
	p.ctx = ctx
	call(p, cdppage.AddScriptToEvaluateOnNewDocument, cdppage.AddScriptToEvaluateOnNewDocumentParams{Source: violations})
	t.Cleanup(func() {
		if t.Failed() {
			p.shot("failed")
			t.Logf("the page at the end:\n%s", p.text())
		}
		for _, m := range p.seen() {
			t.Errorf("in the browser: %s", m)
		}
	})
	return p
}

// call sends a command of the protocol of the browser.
func call[P, R any](p *page, cmd cdp.Command[P, R], params P) R {
	p.t.Helper()
	out, err := chromedp.Call(p.ctx, cmd, params)
	if err != nil {
		p.t.Fatalf("%T: %v", params, err)
	}
	return out
}

// size sets the size of the screen; below 600 it is a phone, for the pages
// that are visited from then on.
func (p *page) size(width, height int) {
	p.t.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width < 600,
	})
}

// narrow makes the window of the page that is shown as narrow or wide as that.
func (p *page) narrow(width, height int) {
	p.t.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: int64(width), Height: int64(height), DeviceScaleFactor: 1})
	p.until(10*time.Second, "the page is drawn anew", fmt.Sprintf(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(innerWidth === %d))))`, width))
}

// scheme sets whether the person likes it dark, and moving.
func (p *page) scheme(dark bool) {
	p.t.Helper()
	p.dark = dark
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// listen notes what a developer would see in red, until the browser ends.
func (p *page) listen(messages iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range messages {
		if err != nil {
			return
		}
		// A failed request is a matter of the network, which tests cut on purpose.
		if m.Type != chromedp.ConsoleError && m.Type != chromedp.ConsoleException || strings.Contains(m.Text, "net::ERR") || strings.Contains(m.Text, "Failed to load resource") {
			continue
		}
		p.mu.Lock()
		p.mistakes = append(p.mistakes, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line))
		p.mu.Unlock()
	}
}

func (p *page) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.mistakes...)
}

func (p *page) visit(url string) {
	p.t.Helper()
	if _, err := chromedp.Run(p.ctx, chromedp.Navigate(url)); err != nil {
		p.t.Fatalf("go to %s: %v", url, err)
	}
}

// eval is the value of a JavaScript expression; a promise is awaited.
func eval[T any](p *page, js string) T {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](js, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("evaluate %.200s: %v", js, err)
	}
	return out
}

// text is what a person could read.
func (p *page) text() string {
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`document.body ? document.body.innerText : ""`))
	if err != nil {
		return err.Error()
	}
	return out
}

// until waits for a JavaScript condition and returns how long it took.
func (p *page) until(within time.Duration, what, js string) time.Duration {
	p.t.Helper()
	begin := time.Now()
	tocsintest.Until(p.t, within, what, func() bool { return eval[bool](p, js) })
	return time.Since(begin)
}

// reads waits until the page shows a text.
func (p *page) reads(within time.Duration, text string) {
	p.t.Helper()
	p.until(within, fmt.Sprintf("the page shows %q", text), fmt.Sprintf("document.body.innerText.includes(%s)", quote(text)))
}

// click presses the first visible button or link whose name is text; in the
// dialog, when one is open.
func (p *page) click(text string) {
	p.t.Helper()
	js := fmt.Sprintf(`(() => {
		const name = %s;
		for (const e of (document.querySelector('dialog[open]') ?? document).querySelectorAll('button, a, [role=button], [role=menuitem], summary, label')) {
			if ((e.textContent.trim() === name || e.getAttribute('aria-label') === name) && e.offsetParent !== null && !e.disabled) { e.click(); return true }
		}
		return false })()`, quote(text))
	p.until(15*time.Second, "there is a button "+text, js)
}

// press sends keys as a keyboard does: "j", kb.Enter, or "k" with input.ModifierCtrl.
func (p *page) press(keys string, modifiers ...chromedp.Modifier) {
	p.t.Helper()
	var held int64
	for _, m := range modifiers {
		held |= int64(m)
	}
	for _, r := range keys {
		events := kb.Encode(r)
		down := *events[0]
		// The text comes with the key, so that who handles the key keeps it from being typed.
		if down.Type = input.DispatchKeyEventTypeRawKeyDown; len(events) == 3 && held&^int64(kb.ModifierShift) == 0 {
			down.Type, down.Text, down.UnmodifiedText = input.DispatchKeyEventTypeKeyDown, events[1].Text, events[1].UnmodifiedText
		}
		up := *events[len(events)-1]
		down.Modifiers |= held
		up.Modifiers |= held
		call(p, input.DispatchKeyEvent, down)
		call(p, input.DispatchKeyEvent, up)
	}
}

// write puts a text where the focus is, all at once, as pasting does.
func (p *page) write(text string) {
	p.t.Helper()
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

// field focuses the visible field whose label begins with a text.
func (p *page) field(label string) {
	p.t.Helper()
	js := fmt.Sprintf(`(() => {
		const name = %s;
		for (const e of (document.querySelector('dialog[open]') ?? document).querySelectorAll('input, textarea, select, [contenteditable=true]')) {
			const label = e.getAttribute('aria-label') ?? [...(e.labels ?? [])].map(l => l.textContent.trim()).join(' ');
			if (label.startsWith(name) && e.offsetParent !== null && !e.disabled) { e.focus(); return document.activeElement === e }
		}
		return false })()`, quote(label))
	p.until(15*time.Second, "there is a field "+label, js)
}

// tabTo presses Tab until what has the focus has a name that begins with text:
// what cannot be reached so is not there for a keyboard.
func (p *page) tabTo(text string) {
	p.t.Helper()
	var passed []string
	for range 120 {
		name := eval[string](p, `(() => { const e = document.activeElement;
			return e.getAttribute('aria-label') ?? ([...(e.labels ?? [])].map(l => l.textContent.trim()).join(' ') || e.textContent.trim()) })()`)
		if strings.HasPrefix(name, text) {
			return
		}
		passed = append(passed, fmt.Sprintf("%.40s", name))
		p.press(kb.Tab)
	}
	p.t.Fatalf("Tab does not reach %q; it passes %q", text, passed)
}

// point moves the mouse to the middle of an element.
func (p *page) point(selector string) {
	p.t.Helper()
	at := eval[[]float64](p, fmt.Sprintf(`(() => { const r = document.querySelector(%s).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, quote(selector)))
	if err := chromedp.Do(p.ctx, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1])); err != nil {
		p.t.Fatalf("point at %s: %v", selector, err)
	}
}

// born tells pages apart: it differs after a reload.
func (p *page) born() float64 {
	p.t.Helper()
	return eval[float64](p, "performance.timeOrigin")
}

// fits fails the test when the page can be scrolled sideways.
func (p *page) fits() {
	p.t.Helper()
	wide := eval[[]string](p, `(() => {
		const room = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= room && document.body.scrollWidth <= room) return [];
		const within = e => { for (let a = e.parentElement; a; a = a.parentElement) if (/auto|scroll|hidden|clip/.test(getComputedStyle(a).overflowX)) return true; return false };
		return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > room + 1 && !within(e))
			.slice(0, 5).map(e => e.tagName.toLowerCase() + '.' + e.className + ' ends at ' + Math.round(e.getBoundingClientRect().right) + ' of ' + room).concat(['something is too wide']) })()`)
	for _, w := range wide {
		p.t.Errorf("too wide for the screen: %s at %s", w, eval[string](p, "location.pathname"))
	}
}

func quote(s string) string {
	text, _ := json.Marshal(s)
	return string(text)
}

// shot saves a picture under TOCSIN_SHOTS, when that is set.
func (p *page) shot(name string) {
	dir := os.Getenv("TOCSIN_SHOTS") //nolint:forbidigo // a flag would have to be known to all packages
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Logf("take a picture: %v", err)
		return
	}
	path := filepath.Join(dir, strings.ReplaceAll(p.t.Name(), "/", "-")+"-"+name+".png")
	if err := os.WriteFile(path, picture, 0o600); err != nil {
		p.t.Logf("save a picture: %v", err)
	}
}

// accessible runs axe and fails the test for each violation of WCAG 2.2 AA.
func (p *page) accessible() {
	p.t.Helper()
	axe, err := os.ReadFile("../ui/app/node_modules/axe-core/axe.min.js")
	if err != nil {
		if os.Getenv("CI") != "" { //nolint:forbidigo // a test may skip here, and not there
			p.t.Fatalf("axe-core is missing: %v", err)
		}
		p.t.Logf("axe-core is missing, run make ui")
		return
	}
	if !eval[bool](p, "'axe' in window") {
		eval[int](p, string(axe)+";0")
	}
	// What is on its way from one colour to another has neither.
	p.until(10*time.Second, "nothing moves", `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() =>
		done(document.getAnimations().every(a => a.playState !== 'running' || a.effect.getComputedTiming().endTime === Infinity)))))`)
	found := eval[[]string](p, `axe.run(document, {runOnly: ['wcag2a','wcag2aa','wcag21a','wcag21aa','wcag22aa'], resultTypes: ['violations']}).then(r =>
		r.violations.map(v => v.id + ': ' + v.help + ' at ' + v.nodes.map(n => n.target.join(' ') + ' (' + n.any.concat(n.all).map(c => c.message).join('; ') + ')').slice(0, 3).join(', ')))`)
	for _, v := range found {
		p.t.Errorf("not accessible at %s: %s", eval[string](p, "location.pathname + ' ' + innerWidth"), v)
	}
}
