package wasm_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// FuzzInspect holds Inspect to what it promises of any bytes: an answer or an
// error, in time.
// acceptance 38.
func FuzzInspect(f *testing.F) {
	paths, err := filepath.Glob("testdata/*/*.wasm")
	if err != nil || len(paths) == 0 {
		f.Fatal(paths, err)
	}
	for _, path := range paths {
		b := readFile(f, path)
		f.Add(b)
		f.Add(b[:len(b)*2/3])
	}
	h := newHost(f, wasm.Options{})
	f.Fuzz(func(t *testing.T, file []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := wasm.ProcessTime()
		m, err := h.Inspect(ctx, file)
		if took := wasm.ProcessTime() - began; took > 5*time.Second {
			t.Errorf("Inspect took %s of processor time", took)
		}
		if err == nil && core.CheckName(m.Name) != nil {
			t.Errorf("Inspect let the name %q pass", m.Name)
		}
		if err != nil && (strings.Contains(err.Error(), "goroutine") || strings.Contains(err.Error(), "fault")) {
			t.Errorf("Inspect: %v", err)
		}
	})
}

// caller assembles a module that calls one host function with constants.
func caller(o wasm.Offered, args []uint64) []byte {
	text := func(b []byte, s string) []byte { return append(leb(b, uint64(len(s))), s...) }
	section := func(id byte, body []byte) []byte { return append(leb([]byte{id}, uint64(len(body))), body...) }
	types := []byte{2, 0x60, 0, 1, 0x7f, 0x60}
	types = append(leb(types, uint64(len(o.Type.Params))), o.Type.Params...)
	types = append(leb(types, uint64(len(o.Type.Results))), o.Type.Results...)
	imports := append(text(text([]byte{1}, o.Module), o.Name), 0, 1)
	exports := append(text([]byte{3}, "tocsin_abi_v1"), 0, 1)
	exports = append(text(exports, "tocsin_describe"), 0, 1)
	exports = append(text(exports, "tocsin_collect"), 0, 1)
	code := []byte{0}
	for i, p := range o.Type.Params {
		if p == 0x7f {
			code = sleb(append(code, 0x41), int64(int32(args[i%len(args)])))
		} else {
			code = sleb(append(code, 0x42), int64(args[i%len(args)]))
		}
	}
	code = append(code, 0x10, 0)
	if len(o.Type.Results) > 0 {
		code = append(code, 0x1a)
	}
	code = append(code, 0x41, 0, 0x0b)
	out := []byte("\x00asm\x01\x00\x00\x00")
	out = append(out, section(1, types)...)
	out = append(out, section(2, imports)...)
	out = append(out, section(3, []byte{1, 0})...)
	out = append(out, section(5, []byte{1, 0, 1})...)
	out = append(out, section(7, exports)...)
	return append(out, section(10, append(leb([]byte{1}, uint64(len(code))), code...))...)
}

func leb(b []byte, v uint64) []byte {
	for v >= 0x80 {
		b = append(b, byte(v)|0x80)
		v >>= 7
	}
	return append(b, byte(v))
}

func sleb(b []byte, v int64) []byte {
	for {
		c := byte(v & 0x7f)
		v >>= 7
		if v == 0 && c&0x40 == 0 || v == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

// call runs one host function with args and fails on a fault of ours.
func call(t *testing.T, h *wasm.Host, o wasm.Offered, args ...uint64) {
	t.Helper()
	file := caller(o, args)
	m, err := h.Load(t.Context(), stored(file, core.Grant{HTTP: []string{"http://127.0.0.1:1"}, Private: true}), file)
	if err != nil {
		t.Fatalf("load the caller of %s: %v", o.Name, err)
	}
	defer func() { _ = m.Close(context.Background()) }()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	got := m.Collect(ctx, someone, nil)
	if took := time.Since(began); took > 2*time.Second || got.Why.Code == "fault" || got.Outcome != core.Error {
		t.Errorf("%s%v: %s %s after %s", o.Name, args, got.Outcome, got.Why, took)
	}
}

// Every host function with every combination of awkward arguments.
// acceptance 38.
func TestHostFunctionsWithAwkwardArguments(t *testing.T) {
	h := newHost(t, wasm.Options{})
	awkward := []uint64{0, 1, 2, 8, 65535, 65536, 1 << 31, 1<<32 - 1, 1<<64 - 1}
	for _, o := range wasm.Functions() {
		for _, a := range awkward {
			for _, b := range awkward {
				call(t, h, o, a, b, b, a)
			}
		}
	}
}

// FuzzHostFunctions calls any host function with any arguments.
func FuzzHostFunctions(f *testing.F) {
	f.Add(uint8(1), uint64(0), uint64(100), uint64(0), uint64(4))
	h := newHost(f, wasm.Options{})
	offered := wasm.Functions()
	f.Fuzz(func(t *testing.T, which uint8, a, b, c, d uint64) {
		call(t, h, offered[int(which)%len(offered)], a, b, c, d)
	})
}

// asker assembles a module that calls one host function with a document.
func asker(o wasm.Offered, document []byte) []byte {
	file := caller(o, []uint64{0, uint64(len(document))})
	body := sleb([]byte{1, 0, 0x41}, 0) // one active segment at 0
	body = append(leb(append(body, 0x0b), uint64(len(document))), document...)
	return append(append(leb(append(file, 11), uint64(len(body))), body...), 0, 5, 4, 'f', 'u', 'z', 'z')
}

// FuzzDocuments hands any document to any function that takes one: the host
// never faults, and the limits hold.
// acceptance 38.
func FuzzDocuments(f *testing.F) {
	for i, seed := range []string{
		`{"url":"http://127.0.0.1:1/","headers":{"X":"y"}}`, `{"op":"dial","address":"127.0.0.1:1","tls":true}`, `{"op":"receive","conn":-1,"max":-5,"until":"\n"}`,
		`{"host":"127.0.0.1:1","server_name":"a","timeout_ms":-1}`, `{"name":"a.example","type":"A","timeout_ms":9223372036854775807}`,
		`{"key":"k","value":"v","delete":true}`, `{"name":"token"}`, `[1,{"op":null}]`, "\xff{",
	} {
		f.Add(uint8(i), []byte(seed))
	}
	kept := &memory{values: map[string]string{}}
	h := newHost(f, wasm.Options{
		Values: kept, Secret: func(string) (string, error) { return tokenValue, nil },
		Lookup: func(context.Context, string, string) ([]string, error) { return []string{"x"}, nil },
	})
	var offered []wasm.Offered
	for _, o := range wasm.Functions() {
		if o.Module == "tocsin_v1" && len(o.Type.Params) == 2 && len(o.Type.Results) == 1 && o.Name != "input_read" {
			offered = append(offered, o)
		}
	}
	grant := everything()
	grant.Reveal = []string{"token"}
	f.Fuzz(func(t *testing.T, which uint8, document []byte) {
		file := asker(offered[int(which)%len(offered)], document[:min(len(document), 60_000)])
		facts := stored(file, grant)
		facts.Manifest.Wants = grant
		m, err := h.Load(t.Context(), facts, file)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = m.Close(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		got := m.Collect(ctx, someone, nil)
		if got.Why.Code == "fault" && !strings.Contains(string(document), "panic") { // the values panic on purpose
			t.Errorf("%s with %q: %v", offered[int(which)%len(offered)].Name, document, got.Why)
		}
		if u := got.Usage; u.TCP > 1 || u.DNS > 1 || u.KV > 64<<10 {
			t.Errorf("usage %+v is over what one call can use", u)
		}
	})
}

// FuzzClean holds clean to what it promises of any text.
func FuzzClean(f *testing.F) {
	f.Add("a\x1b[31mb\x00\n\u202ec", 10, true)
	f.Fuzz(func(t *testing.T, s string, limit int, keepLines bool) {
		limit = max(3, limit&0xfff)
		got := wasm.Clean(s, limit, keepLines)
		if !utf8.ValidString(got) || len(got) > limit {
			t.Errorf("clean(%q, %d) = %q", s, limit, got)
		}
		for _, r := range got {
			if unicode.IsControl(r) && (r != '\n' || !keepLines) {
				t.Errorf("clean(%q, %d) = %q, which holds %q", s, limit, got, r)
			}
		}
	})
}
