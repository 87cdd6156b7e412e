package wasm_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Traps in numbers leave nothing behind and harm nobody.
// acceptance 38.
func TestTrapStorm(t *testing.T) {
	h := newHost(t, wasm.Options{MaxInstances: 8})
	healthy := load(t, h, "modules/tiny", core.Grant{}, number())
	names := []string{"trap_div0", "trap_oob", "exit", "deep_rec", "bad_ptr"}
	before := runtime.NumGoroutine()
	worst := watch(t, healthy)
	var storm sync.WaitGroup
	for _, name := range names {
		m := load(t, h, "hostile/"+name, core.Grant{})
		end := endings()[name]
		storm.Go(func() {
			for range 200 {
				if got := m.Collect(context.Background(), someone, nil); got.Outcome != core.Error || got.Why.Code != end.code {
					t.Errorf("%s = %s %v, want %+v", name, got.Outcome, got.Why, end)
					return
				}
			}
		})
	}
	storm.Wait()
	if late := worst(); late > 2*time.Second {
		t.Errorf("a healthy run beside the storm took up to %s", late)
	}
	if after := runtime.NumGoroutine(); after > before+2 {
		t.Errorf("%d goroutines before, %d after", before, after)
	}
}

// endless is a server on this machine that sends first and then rest for ever
// to whoever connects, with a pause before each.
func endless(t *testing.T, first, rest string, pause time.Duration) (url string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve := func(conn net.Conn) {
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 4096))
		_, err := io.WriteString(conn, first)
		var to io.Writer = conn
		if strings.Contains(first, "gzip") {
			to = gzip.NewWriter(conn)
		}
		for err == nil && t.Context().Err() == nil {
			time.Sleep(pause)
			_, err = io.WriteString(to, rest)
		}
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); conns.Wait() })
	return "http://" + l.Addr().String()
}

// Targets that never end an answer, quickly or slowly, end the request or the
// run, and no more than the limit is read.
// acceptance 38.
func TestEndlessTargets(t *testing.T) {
	const head, soon = "HTTP/1.1 200 OK\r\n", 10 * time.Millisecond
	much := strings.Repeat("x", 1<<16)
	h := newHost(t, wasm.Options{})
	for name, c := range map[string]struct {
		first, rest string
		pause       time.Duration
		code        string
	}{
		"a body without end":             {head + "\r\n", much, 0, abi.CodeTooLarge},
		"a compressed body without end":  {head + "Content-Encoding: gzip\r\n\r\n", much, 0, abi.CodeTooLarge},
		"chunks without end":             {head + "Transfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", 0, abi.CodeTooLarge},
		"headers without end":            {head, "X-A: " + much[:1000] + "\r\n", 0, abi.CodeProtocol},
		"interim answers without end":    {"", "HTTP/1.1 100 Continue\r\n\r\n", 0, abi.CodeProtocol},
		"a byte now and then":            {head + "\r\n", "x", soon, abi.CodeTimeout},
		"a header now and then":          {head, "X-A: y\r\n", soon, abi.CodeTimeout},
		"a length that is never reached": {head + "Content-Length: 100\r\n\r\nx", "", soon, abi.CodeTimeout},
		"a length of very much":          {head + "Content-Length: 99999999999999\r\n\r\n", much, 0, abi.CodeTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			url := endless(t, c.first, c.rest, c.pause)
			m := load(t, h, "modules/fetch", core.Grant{HTTP: []string{url}, Private: true, Limits: core.Limits{HTTPResponse: 32 << 10}})
			request := abi.HTTPRequest{URL: url, TimeoutMS: 400}
			if c.pause == 0 { // the size ends it, however busy this machine is
				request.TimeoutMS = 0
			}
			got, _ := fetch(t, m, request)
			if got.Error == nil || got.Error.Code != c.code || got.Body != "" {
				t.Errorf("fetch = %.100q %+v, want %s", got.Body, got.Error, c.code)
			}
		})
	}
}

// Any damage to a file is an answer or an error in words that can be shown.
// acceptance 38.
func TestDamagedFiles(t *testing.T) {
	h := newHost(t, wasm.Options{})
	file := readFile(t, "testdata/modules/tiny.wasm")
	inspect := func(what string, b []byte) {
		t.Helper()
		_, err := h.Inspect(within(t, 10*time.Second), b)
		if err == nil {
			return
		}
		if text := err.Error(); len(text) > 2000 || text != wasm.Clean(text, 4000, false) || strings.Contains(text, "goroutine") || strings.Contains(text, "fault") || strings.Contains(text, "wazero") {
			t.Errorf("Inspect of %s: %.300q", what, text)
		}
	}
	for n := range file {
		inspect(fmt.Sprintf("the first %d bytes", n), file[:n])
		for _, to := range []byte{0, 0x7f, 0x80, 0xff, file[n] ^ 1} {
			b := bytes.Clone(file)
			b[n] = to
			inspect(fmt.Sprintf("byte %d as %#x", n, to), b)
		}
	}
}

// What is too much of something is named, with the limit; and whatever a file
// calls things, the sentence about it can be shown.
// acceptance 38.
func TestTooMuchInAFile(t *testing.T) {
	h := newHost(t, wasm.Options{})
	section := func(id byte, count uint64, each string) []byte {
		body := append(leb(nil, count), strings.Repeat(each, int(min(count, 1<<20)))...)
		return append(leb([]byte{id}, uint64(len(body))), body...)
	}
	module := func(sections ...[]byte) []byte {
		return append([]byte("\x00asm\x01\x00\x00\x00"), bytes.Join(sections, nil)...)
	}
	name := func(n int) string { return string(leb(nil, uint64(n))) + strings.Repeat("\x1b[31m\u202e", n)[:n] }
	imports := func(n int) []byte { return section(2, 1, name(n)+"\x01f\x00\x00") }
	for what, c := range map[string]struct {
		file []byte
		text string
	}{
		"types":           {module(section(1, 6000, "\x60\x00\x00")), "the module has 6000 types, the limit is 5000"},
		"functions":       {module(section(1, 1, "\x60\x00\x00"), section(3, 70_000, "\x00")), "the module has 70000 functions, the limit is 60000"},
		"globals":         {module(section(6, 10_001, "\x7f\x00\x41\x00\x0b")), "the module has 10001 globals, the limit is 10000"},
		"exports":         {module(section(5, 1, "\x00\x01"), section(7, 2001, "\x01a\x02\x00")), "the module has 2001 exports, the limit is 2000"},
		"data":            {module(section(5, 1, "\x00\x01"), section(11, 100_001, "\x01\x00")), "the module has 100001 data segments, the limit is 100000"},
		"elements":        {module(section(4, 1, "\x70\x00\x01"), section(9, 100_001, "\x01\x00\x00")), "the module has 100001 element segments, the limit is 100000"},
		"imports":         {module(section(1, 1, "\x60\x00\x00"), section(2, 201, "\x01a\x01b\x00\x00")), "the module has 201 imports, the limit is 200"},
		"a promise":       {module(section(3, 1<<30, "")), "it ends in the middle"},
		"a name":          {module(section(1, 1, "\x60\x00\x00"), imports(3<<20)), "which is not offered"},
		"custom sections": {module(bytes.Repeat([]byte("\x00\x02\x01a"), 1<<20)), "it does not export tocsin_abi_v1"},
	} {
		began := wasm.ProcessTime()
		_, err := h.Inspect(t.Context(), c.file)
		if err == nil || !strings.Contains(err.Error(), c.text) || len(err.Error()) > 2000 || err.Error() != wasm.Clean(err.Error(), 4000, false) {
			t.Errorf("Inspect of too much of %s: %.500q, want %q", what, fmt.Sprint(err), c.text)
		}
		if took := wasm.ProcessTime() - began; took > 15*time.Second {
			t.Errorf("Inspect of too much of %s took %s of processor time", what, took)
		}
	}
}

// A connection ends with its run: its number means nothing after it was closed,
// and nothing in another run.
// acceptance 38.
func TestHandlesEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a Go program")
	}
	h, _ := relayHost(t)
	m := loadRelay(t, h, buildRelay(t), everything())
	address := echoes(t)
	dialed := ask{"tcp", doc{"op": "dial", "address": address}}
	send := ask{"tcp", doc{"op": "send", "conn": 1, "data": "x\n"}}
	closed := ask{"tcp", doc{"op": "close", "conn": 1}}
	answers, got := relay(t, m, nil, dialed, send, closed, send, closed)
	if len(answers) != 5 || strings.Contains(answers[1], "error") {
		t.Fatalf("dial, send, close = %q %v", answers, got.Why)
	}
	hasAll(t, "a send after the end", answers[3], `"code":"not_found"`)
	hasAll(t, "a second end", answers[4], `"code":"not_found"`)
	relay(t, m, nil, dialed)
	answers, _ = relay(t, m, nil, send)
	hasAll(t, "a connection of another run", answers[0], `"code":"not_found"`)
}
