package e2e_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/web/wire"
)

// drop lets go of a file over the page.
func (p *page) drop(name string, file []byte) {
	p.t.Helper()
	eval[int](p, fmt.Sprintf(`(() => {
		const bytes = Uint8Array.from(atob(%s), c => c.charCodeAt(0)), data = new DataTransfer();
		data.items.add(new File([bytes], %s, {type: 'application/wasm'}));
		for (const type of ['dragover', 'drop']) document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));
		return 0 })()`, quote(base64.StdEncoding.EncodeToString(file)), quote(name)))
}

// choose gives a file to the file input.
func (p *page) choose(name string, file []byte) {
	p.t.Helper()
	path := filepath.Join(p.t.TempDir(), name)
	if err := os.WriteFile(path, file, 0o600); err != nil {
		p.t.Fatal(err)
	}
	if err := chromedp.Do(p.ctx, chromedp.SetUploadFiles(chromedp.CSS(`input[type=file]`), []string{path})); err != nil {
		p.t.Fatalf("choose %s: %v", name, err)
	}
}

// upload gives a file to the page until it is taken: a machine that is busy may
// not compile it in the time that there is.
func (p *page) upload(give func()) {
	p.t.Helper()
	for range 4 {
		give()
		p.until(60*time.Second, "the file is taken or refused", `location.pathname === '/collectors/queue-depth' || !!document.querySelector('.co-upload.failed')`)
		if !strings.Contains(p.text(), "compilation took longer") {
			break
		}
		p.click("Forget queue-depth.wasm")
	}
	p.until(15*time.Second, "its page is shown", `location.pathname === '/collectors/queue-depth'`)
}

// decide answers a row of the review of permissions.
func (p *page) decide(title, answer string) {
	p.t.Helper()
	p.until(5*time.Second, answer+" "+title, fmt.Sprintf(`(() => {
		const b = [...document.querySelectorAll('[aria-label=' + CSS.escape(%s) + '] button')].find(b => b.textContent.trim() === %s);
		b?.click();
		return !!b })()`, quote("Allow "+title), quote(answer)))
}

func queueDepth(t *testing.T) []byte {
	t.Helper()
	file, err := examples.QueueDepth()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// TestUpload takes a module from a file to a run: drop, review, a narrower
// grant, a test run against a real server.
func TestUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	_, url := target(t)
	file := queueDepth(t)
	p := open(t, 1440, 900, true)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "No module yet")
	p.accessible()
	p.shot("empty")

	p.upload(func() { p.drop("queue-depth.wasm", file) })
	p.reads(15*time.Second, "2 permissions wait for your decision")
	p.accessible()
	p.shot("review")
	p.decide("HTTP", "Allow")
	p.decide("Private and loopback addresses", "Allow")
	p.shot("decided")
	p.click("Grant only a part")
	p.field("Allow only: HTTP")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write("http://else.example.com:80 ftp://x")
	p.reads(5*time.Second, "It does not ask for ftp://x")
	p.accessible()
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write(url)
	p.until(10*time.Second, "all is decided", `!document.querySelector('.co-cap.ask')`)
	p.accessible()
	p.click("Activate 1.0.0")
	p.reads(15*time.Second, "queue-depth 1.0.0 is active")
	var m wire.ModuleItem
	s.Do("GET", "/api/v1/modules/queue-depth", nil, &m)
	if len(m.Versions) != 1 || !m.Versions[0].Active || fmt.Sprint(m.Versions[0].Grant.HTTP) != fmt.Sprint([]string{url}) {
		t.Errorf("the grant is %+v, want %s only", m.Versions, url)
	}

	p.field("url")
	p.write(url + "/depth")
	p.click("Run once")
	p.reads(30*time.Second, "7 messages wait for 2 consumers")
	p.accessible()
	p.shot("ran")

	// A host that was not allowed is not reached.
	_, elsewhere := target(t)
	p.field("url")
	eval[int](p, `(document.activeElement.select(), 0)`)
	p.write(elsewhere + "/depth")
	p.click("Run again")
	p.reads(30*time.Second, "is not granted")
	p.accessible()
	p.shot("denied")
	// It may be, for this test alone.
	p.click("Allow for this test")
	p.reads(30*time.Second, "7 messages wait for 2 consumers")
	p.reads(5*time.Second, "differs from its grant")
	s.Do("GET", "/api/v1/modules/queue-depth", nil, &m)
	if fmt.Sprint(m.Versions[0].Grant.HTTP) != fmt.Sprint([]string{url}) {
		t.Errorf("after a test with another grant the stored one is %+v", m.Versions[0].Grant)
	}

	// The same file again is the same version.
	p.visit(s.URL + "/collectors")
	p.reads(15*time.Second, "queue-depth")
	p.accessible()
	p.shot("list")
	p.upload(func() { p.choose("queue-depth.wasm", file) })
	p.reads(15*time.Second, "active")
}

// TestExample takes the module that comes with the binary, from the page that
// has none.
func TestExample(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 390, 844, false)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "Or try one that comes with Tocsin")
	p.accessible()
	p.fits()
	p.upload(func() { p.click("queue-depth") })
	p.reads(15*time.Second, "2 permissions wait for your decision")
	p.both("review")
}

// TestHostileUpload refuses what is no module, and says why.
func TestHostileUpload(t *testing.T) {
	t.Parallel()
	s := serve(t)
	p := open(t, 1440, 900, false)
	p.visit(s.Link)
	p.visit(s.URL + "/collectors")
	p.reads(30*time.Second, "No module yet")
	junk := make([]byte, 4096)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range junk {
		junk[i] = byte(random.Uint32())
	}
	file := queueDepth(t)
	p.choose("junk.wasm", junk)
	p.reads(15*time.Second, "junk.wasm")
	p.reads(5*time.Second, "Not sent")
	p.choose("half.wasm", file[:len(file)/2])
	p.reads(15*time.Second, "half.wasm")
	p.until(5*time.Second, "both are refused", `document.querySelectorAll('.co-upload.refused').length === 2 && [...document.querySelectorAll('.co-refused')].every(e => e.innerText.length > 20)`)
	// What the browser does not see, the server does.
	broken := append([]byte(nil), file...)
	for i := len(broken) / 3; i < len(broken)/3+64; i++ {
		broken[i] ^= 0xff
	}
	p.drop("broken.wasm", broken)
	p.until(60*time.Second, "all are refused", `document.querySelectorAll('.co-upload.refused, .co-upload.failed').length === 3`)
	t.Logf("what is said:\n%s", eval[string](p, `[...document.querySelectorAll('.co-upload')].map(e => e.innerText).join('\n--\n')`))
	p.accessible()
	p.shot("refused")
	var all wire.Page[wire.ModuleItem]
	s.Do("GET", "/api/v1/modules", nil, &all)
	if len(all.Items) != 0 {
		t.Errorf("stored is %+v", all.Items)
	}
}
