package wasm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect/dial"
	"github.com/tocsin-io/tocsin/wasm"
)

// memory keeps values in a map.
type memory struct {
	mu     sync.Mutex
	values map[string]string
}

func (m *memory) Value(_ context.Context, scope, key string) (string, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if key == "broken" {
		return "", false, errors.New("/var/lib is on fire")
	}
	if key == "panic" {
		panic("on purpose")
	}
	v, ok := m.values[scope+" "+key]
	return v, ok, nil
}

func (m *memory) SetValue(_ context.Context, scope, key string, value *string, most int64) (used int64, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, v := range m.values {
		if rest, mine := strings.CutPrefix(k, scope+" "); mine && rest != key {
			used += int64(len(rest) + len(v))
		}
	}
	if value == nil {
		delete(m.values, scope+" "+key)
		return used, true, nil
	}
	if used += int64(len(key) + len(*value)); used > most {
		return used, false, nil
	}
	m.values[scope+" "+key] = *value
	return used, true, nil
}

const tokenValue = "s3cr3t-t0ken"

// ask is a call of the relay.
type ask struct {
	Name    string `json:"name"`
	Request any    `json:"request"`
}

type doc = map[string]any

// relayHost is a host with everything a guest can ask for.
func relayHost(t *testing.T) (*wasm.Host, *memory) {
	t.Helper()
	kept := &memory{values: map[string]string{}}
	public := dial.New(dial.Policy{}, dial.Options{})
	private := dial.New(dial.Policy{Loopback: true, Private: true}, dial.Options{})
	return newHost(t, wasm.Options{
		Dial: public.DialContext, DialPrivate: private.DialContext, Values: kept,
		Lookup: func(_ context.Context, kind, name string) ([]string, error) {
			if name == "none.example" {
				return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
			}
			return []string{kind + " of " + name, "a\x1b[31mb"}, nil
		},
		Secret: func(name string) (string, error) {
			if name == "token" {
				return tokenValue, nil
			}
			return "", errors.New("there is no secret " + name)
		},
	}), kept
}

func everything() core.Grant {
	return core.Grant{
		HTTP: []string{"http://127.0.0.1:*"}, TCP: []string{"127.0.0.1:*"}, DNS: []string{"*.example"}, Private: true, KV: core.KVAssignment,
		Secrets: []string{"token"},
	}
}

func buildRelay(t *testing.T, flags ...string) []byte {
	t.Helper()
	command := append([]string{"go", "build", "-buildmode=c-shared", "-o", "OUT"}, flags...)
	return build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution", append(command, "./testdata/relay")...)
}

func loadRelay(t *testing.T, h *wasm.Host, file []byte, grant core.Grant) *wasm.Module {
	t.Helper()
	facts := stored(file, grant)
	manifest, err := h.Inspect(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	facts.Manifest = manifest
	m, err := h.Load(t.Context(), facts, file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// relay makes calls in one run and returns the answers as text.
func relay(t *testing.T, m *wasm.Module, config doc, calls ...ask) ([]string, core.Result) {
	t.Helper()
	if config == nil {
		config = doc{}
	}
	list := make([]any, len(calls))
	for i, c := range calls {
		list[i] = doc{"name": c.Name, "request": c.Request}
	}
	config["calls"] = list
	got := m.TestRun(within(t, 5*time.Second), someone, config)
	if got.Outcome != core.Pass {
		return nil, got
	}
	detail, _ := got.Facts["detail"].(map[string]any)
	answers, _ := detail["answers"].([]any)
	out := make([]string, len(answers))
	for i, a := range answers {
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = string(text)
	}
	return out, got
}

// echoes answers each line with itself, and "end" by closing.
func echoes(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				lines := bufio.NewScanner(c)
				lines.Buffer(nil, 4<<20)
				for lines.Scan() && lines.Text() != "end" {
					if _, err := io.WriteString(c, lines.Text()+"\n"); err != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// hasAll reports texts that are missing in an answer.
func hasAll(t *testing.T, what, answer string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(answer, want) {
			t.Errorf("%s answered %s, want %q in it", what, answer, want)
		}
	}
}

// TestReach asks for everything that is granted, and for what is not.
func TestReach(t *testing.T) {
	h, _ := relayHost(t)
	file := buildRelay(t)
	m := loadRelay(t, h, file, everything())
	address := echoes(t)
	secured := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secured.Close)
	tlsAddress := secured.Listener.Addr().String()

	calls := []struct {
		ask
		want []string
	}{
		{ask{"tcp", doc{"op": "dial", "address": address}}, []string{`"conn":1`}},
		{ask{"tcp", doc{"op": "send", "conn": 1, "data": "one\ntwo\n"}}, []string{`"sent":8`}},
		{ask{"tcp", doc{"op": "receive", "conn": 1, "until": "\n"}}, []string{`"data":"one"`}},
		{ask{"tcp", doc{"op": "receive", "conn": 1, "until": "\n", "max": 2}}, []string{`"data":"tw"`}},
		{ask{"tcp", doc{"op": "receive", "conn": 1, "until": "\n"}}, []string{`"data":"o"`}},
		{ask{"tcp", doc{"op": "receive", "conn": 1, "timeout_ms": 50}}, []string{`"code":"timeout"`}},
		{ask{"tcp", doc{"op": "send", "conn": 1, "data": "end\n"}}, []string{`"sent":4`}},
		{ask{"tcp", doc{"op": "receive", "conn": 1}}, []string{`"eof":true`}},
		{ask{"tcp", doc{"op": "close", "conn": 1}}, []string{`duration_ms`}},
		{ask{"tcp", doc{"op": "send", "conn": 1, "data": "x"}}, []string{`"code":"not_found"`}},
		{ask{"tcp", doc{"op": "jump"}}, []string{`"code":"invalid"`}},
		{ask{"tcp", doc{"op": "dial", "address": "127.0.0.1"}}, []string{`"code":"invalid"`}},
		{ask{"tcp", doc{"op": "dial", "address": "169.254.169.254:80"}}, []string{`"code":"denied"`, "granted is 127.0.0.1:*"}},
		{ask{"tcp", doc{"op": "dial", "address": "2130706433:80"}}, []string{`"code":"denied"`}},
		{ask{"tcp", doc{"op": "dial", "address": tlsAddress, "tls": true}}, []string{`"code":"tls"`}},
		{ask{"tls_info", doc{"host": tlsAddress}}, []string{`"verified":false`, `"verify_error":"x509: `, `"version":"TLS 1.3"`, `"alpn":"http/1.1"`, `"dns_names":["example.com"`, `"key_type":"RSA `}},
		{ask{"tls_info", doc{"host": "mail.example"}}, []string{`"code":"denied"`}},
		{ask{"tls_info", doc{"host": address, "timeout_ms": 200}}, []string{`"code":"t`}},
		{ask{"dns", doc{"name": "mail.example", "type": "MX"}}, []string{`"records":["MX of mail.example","ab"]`}},
		{ask{"dns", doc{"name": "none.example", "type": "A"}}, []string{`"code":"dns"`}},
		{ask{"dns", doc{"name": "mail.test", "type": "A"}}, []string{`"code":"denied"`}},
		{ask{"dns", doc{"name": "*.example", "type": "A"}}, []string{`"code":"invalid"`}},
		{ask{"dns", doc{"name": "mail.example", "type": "ANY"}}, []string{`"code":"invalid"`}},
		{ask{"kv_get", doc{"key": "n"}}, []string{`"found":false`}},
		{ask{"kv_set", doc{"key": "n", "value": "7"}}, []string{`"found":true`}},
		{ask{"kv_get", doc{"key": "n"}}, []string{`"found":true`, `"value":"7"`}},
		{ask{"kv_set", doc{"key": "n", "delete": true}}, []string{`"found":false`}},
		{ask{"kv_get", doc{"key": "n"}}, []string{`"found":false`}},
		{ask{"kv_get", doc{"key": "broken"}}, []string{`"code":"storage"`}},
		{ask{"kv_get", doc{"key": ""}}, []string{`"code":"invalid"`}},
		{ask{"kv_set", doc{"key": "n", "value": strings.Repeat("x", 64<<10)}}, []string{`"code":"quota"`}},
		{ask{"kv_set", doc{"key": "n", "value": strings.Repeat("x", 64<<10+1)}}, []string{`"code":"too_large"`}},
		{ask{"secret", doc{"name": "token"}}, []string{`"handle":"tocsin-secret-`}},
		{ask{"secret", doc{"name": "other"}}, []string{`"code":"denied"`}},
		{ask{"reveal", doc{"name": "token"}}, []string{`"code":"denied"`}},
		{ask{"kv_get", "not a document"}, []string{`"code":"invalid"`}},
	}
	list := make([]ask, len(calls))
	for i, c := range calls {
		list[i] = c.ask
	}
	answers, got := relay(t, m, nil, list...)
	if len(answers) != len(calls) {
		t.Fatalf("%d answers of %d: %v", len(answers), len(calls), got.Why)
	}
	for i, c := range calls {
		request, _ := json.Marshal(c.Request)
		hasAll(t, c.Name+" "+string(request[:min(len(request), 100)]), answers[i], c.want...)
		if strings.Contains(answers[i], "/var/lib") {
			t.Errorf("%s shows what the storage said: %s", c.Name, answers[i])
		}
	}
	if u := got.Usage; u.TCP != 4 || u.DNS != 2 || u.TCPBytes == 0 || len(u.Calls) < len(calls)/2 {
		t.Errorf("Usage: %d tcp, %d dns, %d bytes, %d calls", u.TCP, u.DNS, u.TCPBytes, len(u.Calls))
	}
	if _, got := relay(t, m, nil, ask{"kv_get", doc{"key": "panic"}}); got.Outcome != core.Error || got.Why.Code != "fault" || strings.Contains(got.Why.Text, "purpose") {
		t.Errorf("a panic in a function of the host: %s %v", got.Outcome, got.Why)
	}

	nothing := loadRelay(t, h, file, core.Grant{})
	for i, answer := range func() []string {
		out, _ := relay(t, nothing, nil, list[0], list[15], list[18], list[24], list[32], list[34])
		return out
	}() {
		hasAll(t, "with nothing granted "+list[[]int{0, 15, 18, 24, 32, 34}[i]].Name, answer, `"code":"denied"`)
	}
	public := everything()
	public.Private = false
	answers, _ = relay(t, loadRelay(t, h, file, public), nil, list[0], list[15])
	for _, answer := range answers {
		hasAll(t, "a private address", answer, `"code":"denied"`, "loopback")
	}
}

// TestKeep keeps values between runs, each assignment its own, and nothing of
// a test run.
func TestKeep(t *testing.T) {
	h, kept := relayHost(t)
	file := buildRelay(t)
	m := loadRelay(t, h, file, everything())
	set := doc{"calls": []any{doc{"name": "kv_set", "request": doc{"key": "n", "value": "7"}}}}
	get := func(rc core.RunContext) string {
		got := m.Collect(within(t, 5*time.Second), rc, doc{"calls": []any{doc{"name": "kv_get", "request": doc{"key": "n"}}}})
		text, _ := json.Marshal(got.Facts)
		return string(text)
	}
	m.TestRun(within(t, 5*time.Second), someone, set)
	if len(kept.values) > 0 {
		t.Errorf("a test run kept %v", kept.values)
	}
	m.Collect(within(t, 5*time.Second), someone, set)
	if kept.values["m/web-01:depth n"] != "7" {
		t.Errorf("kept are %v", kept.values)
	}
	hasAll(t, "the next run", get(someone), `"value":"7"`)
	hasAll(t, "a run for another system", get(core.RunContext{Check: someone.Check, System: core.SystemRef{ID: "web-02"}}), `"found":false`)
}

// TestReachHostile floods every function of the host.
// acceptance 38.
func TestReachHostile(t *testing.T) {
	h, kept := relayHost(t)
	file := buildRelay(t)
	grant := everything()
	grant.TCP, grant.Private = append(grant.TCP, "169.254.169.254:80", "[::ffff:a9fe:a9fe]:80"), true
	grant.Limits.Fuel = 20_000_000_000 // of a guest that reads much JSON
	m := loadRelay(t, h, file, grant)
	address := echoes(t)
	repeat := func(a ask, n int) (out []ask) {
		for range n {
			out = append(out, a)
		}
		return out
	}
	last := func(what string, calls []ask, want string) core.Result {
		answers, got := relay(t, m, nil, calls...)
		if len(answers) == 0 {
			t.Errorf("%s: %s %v", what, got.Outcome, got.Why)
			return got
		}
		hasAll(t, what, answers[len(answers)-1], want)
		return got
	}
	if got := last("a dial flood", repeat(ask{"tcp", doc{"op": "dial", "address": address}}, 12), "the limit of 10 tcp calls is used up"); got.Usage.TCP != 10 {
		t.Errorf("a dial flood made %d connections", got.Usage.TCP)
	}
	last("a dns flood", repeat(ask{"dns", doc{"name": "a.example", "type": "A"}}, 22), "the limit of 20 dns calls is used up")
	last("a kv flood", repeat(ask{"kv_set", doc{"key": "k", "value": "v"}}, 202), "the limit of 200 calls about kept values is used up")
	big := strings.Repeat("x", 30<<10)
	last("kv over its limit", []ask{
		{"kv_set", doc{"key": "a", "value": big}}, {"kv_set", doc{"key": "b", "value": big}}, {"kv_set", doc{"key": "c", "value": big}},
	}, "over the limit of 64 KiB")
	m.Collect(within(t, 5*time.Second), someone, doc{"calls": []any{
		doc{"name": "kv_set", "request": doc{"key": "a", "value": big}},
		doc{"name": "kv_set", "request": doc{"key": "b", "value": big}},
		doc{"name": "kv_set", "request": doc{"key": "c", "value": big}},
	}})
	size := 0
	for _, v := range kept.values {
		size += len(v)
	}
	if size == 0 || size > 64<<10 {
		t.Errorf("%d bytes are kept", size)
	}
	last("a flood over tcp", append([]ask{{"tcp", doc{"op": "dial", "address": address}}},
		repeat(ask{"tcp", doc{"op": "send", "conn": 1, "data": strings.Repeat("y", 300<<10) + "\n"}}, 4)...), "the limit of 1 MiB over tcp is used up")
	for _, to := range []string{"169.254.169.254:80", "[::ffff:169.254.169.254]:80"} {
		last("the metadata service", []ask{{"tcp", doc{"op": "dial", "address": to}}}, "may not be reached")
	}

	began := time.Now()
	endless := m.Collect(within(t, 300*time.Millisecond), someone, doc{"calls": []any{
		doc{"name": "tcp", "request": doc{"op": "dial", "address": address}}, doc{"name": "tcp", "request": doc{"op": "receive", "conn": 1}},
	}})
	if took := time.Since(began); endless.Why.Code != "limit_time" || took > 2*time.Second {
		t.Errorf("a receive that never ends: %s %v after %s", endless.Outcome, endless.Why, took)
	}
}

// TestSecrets proves that a guest can use a secret and never reads it.
func TestSecrets(t *testing.T) {
	h, _ := relayHost(t)
	file := buildRelay(t)
	m := loadRelay(t, h, file, everything())
	var sent []string
	var mu sync.Mutex
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		sent = append(sent, r.Header.Get("X-Key")+"|"+string(body))
		mu.Unlock()
		w.Header().Set("X-Echo", r.Header.Get("X-Key"))
		_, _ = io.WriteString(w, "you said "+r.Header.Get("X-Key")+" "+string(body))
	})
	site := httptest.NewServer(mux)
	t.Cleanup(site.Close)
	other := httptest.NewServer(mux)
	t.Cleanup(other.Close)
	mux.Handle("/away", http.RedirectHandler(other.URL+"/echo", http.StatusTemporaryRedirect))
	address := echoes(t)

	config := func() doc { return doc{"key": doc{"secret": "token"}} }
	answers, got := relay(t, m, config(),
		ask{"http", doc{"url": site.URL + "/echo", "method": "POST", "headers": doc{"X-Key": "Bearer $key"}, "body": "b=$key"}},
		ask{"http", doc{"url": site.URL + "/echo?k=$key"}},
		ask{"http", doc{"url": site.URL + "/away", "headers": doc{"X-Key": "$key"}}},
		ask{"http", doc{"url": site.URL + "/away", "method": "POST", "body": "$key"}},
		ask{"tcp", doc{"op": "dial", "address": address}},
		ask{"tcp", doc{"op": "send", "conn": 5, "data": "x$key-y\n"}},
		ask{"secret", doc{"name": "token"}},
	)
	_ = answers
	if len(answers) != 7 {
		t.Fatalf("%d answers: %v", len(answers), got.Why)
	}
	hasAll(t, "an echo", answers[0], "you said Bearer •••••• b=••••••", `"x-echo":"Bearer ••••••"`)
	hasAll(t, "a secret in the URL", answers[1], `"code":"invalid"`, "the URL holds a secret")
	hasAll(t, "a redirect away", answers[2], `"body":"you said"`)
	hasAll(t, "a redirect away of a body", answers[3], `"code":"denied"`)
	if want := []string{"Bearer " + tokenValue + "|b=" + tokenValue, "|"}; !equal(sent, want) {
		t.Errorf("the site was sent %q, want %q", sent, want)
	}

	// An echo that is read byte by byte shows nothing either.
	calls := []ask{{"tcp", doc{"op": "dial", "address": address}}, {"tcp", doc{"op": "send", "conn": 1, "data": "x$key-y\n"}}}
	for range 22 {
		calls = append(calls, ask{"tcp", doc{"op": "receive", "conn": 1, "max": 1, "timeout_ms": 50}})
	}
	answers, got = relay(t, m, config(), calls...)
	all := ""
	for _, answer := range answers[2:] {
		var r struct {
			Data   string `json:"data"`
			Base64 []byte `json:"data_base64"`
		}
		if err := json.Unmarshal([]byte(answer), &r); err != nil {
			t.Fatal(err)
		}
		all += r.Data + string(r.Base64)
	}
	if all != "x••••••-y" {
		t.Errorf("byte by byte the guest read %q", all)
	}
	text, err := json.Marshal(doc{"summary": got.Summary, "why": got.Why, "samples": got.Samples, "facts": got.Facts, "logs": got.Logs, "usage": got.Usage, "recording": got.Recording})
	if err != nil || strings.Contains(string(text), tokenValue) {
		t.Errorf("the result or its recording holds the value: %s, %v", text, err)
	}

	// A handle of one run means nothing in another.
	handle, _ := got.Facts["detail"].(map[string]any)["key"].(string)
	if !strings.HasPrefix(handle, "tocsin-secret-") {
		t.Fatalf("the configuration held %q, want a handle", handle)
	}
	sent = nil
	relay(t, m, config(), ask{"http", doc{"url": site.URL + "/echo", "headers": doc{"X-Key": handle}}})
	if want := []string{handle + "|"}; !equal(sent, want) {
		t.Errorf("a handle of another run sent %q, want %q", sent, want)
	}

	// What is not granted is refused before the run, with a reason.
	nothing := loadRelay(t, h, file, core.Grant{})
	if _, got := relay(t, nothing, config()); got.Outcome != core.Error || got.Why.Code != "secret" || !strings.Contains(got.Why.Text, "the secret token, and its grant does not name it") {
		t.Errorf("a secret that is not granted: %s %v", got.Outcome, got.Why)
	}

	// Reveal shows it to the guest, and never in the recording.
	grant := everything()
	grant.Reveal = []string{"token"}
	answers, got = relay(t, loadRelay(t, h, file, grant), nil, ask{"reveal", doc{"name": "token"}})
	if len(answers) != 1 {
		t.Fatalf("reveal: %v", got.Why)
	}
	hasAll(t, "reveal", answers[0], tokenValue)
	recording, err := json.Marshal(got.Recording)
	if err != nil || got.Recording == nil || bytes.Contains(got.Recording.Output, []byte(tokenValue)) || bytes.Contains(got.Recording.Calls[0].Answer, []byte(tokenValue)) {
		t.Errorf("the recording holds what was revealed: %s, %v", recording, err)
	}
}

func equal(got, want []string) bool { return strings.Join(got, "\n") == strings.Join(want, "\n") }

// TestReplay repeats runs bit for bit, with nothing reached.
func TestReplay(t *testing.T) {
	h, kept := relayHost(t)
	file := buildRelay(t)
	m := loadRelay(t, h, file, everything())
	address := echoes(t)
	began := time.Now()
	_, got := relay(t, m, doc{"key": doc{"secret": "token"}},
		ask{"tcp", doc{"op": "dial", "address": address}}, ask{"tcp", doc{"op": "send", "conn": 1, "data": "$key\n"}},
		ask{"tcp", doc{"op": "receive", "conn": 1}}, ask{"tcp", doc{"op": "receive", "conn": 1, "timeout_ms": 400}},
		ask{"kv_set", doc{"key": "n", "value": "1"}}, ask{"dns", doc{"name": "a.example", "type": "A"}},
	)
	live := time.Since(began)
	if got.Outcome != core.Pass || got.Recording == nil || got.Recording.Cut || len(got.Recording.Calls) < 6 {
		t.Fatalf("the run: %s %v, recording %+v", got.Outcome, got.Why, got.Recording)
	}
	// As it comes out of a database.
	text, err := json.Marshal(got.Recording)
	if err != nil {
		t.Fatal(err)
	}
	var rec core.Recording
	if err := json.Unmarshal(text, &rec); err != nil {
		t.Fatal(err)
	}
	kept.values = map[string]string{}
	elsewhere := newHost(t, wasm.Options{}) // reaches nothing
	began = time.Now()
	again, report, err := elsewhere.Replay(within(t, 2*time.Minute), file, rec)
	if err != nil || !report.Same || !report.Original || report.Calls != 6 || report.Unused != 0 {
		t.Fatalf("Replay: %+v, %v", report, err)
	}
	if again.Outcome != got.Outcome || again.Summary != got.Summary || again.Usage.Fuel != got.Usage.Fuel || len(again.Logs) != len(got.Logs) {
		t.Errorf("Replay = %+v, recorded %+v", again, got)
	}
	for i, line := range again.Logs {
		if line.Text != got.Logs[i].Text || line.Level != got.Logs[i].Level {
			t.Errorf("log line %d: %q, recorded %q", i, line.Text, got.Logs[i].Text)
		}
	}
	if len(kept.values) > 0 {
		t.Errorf("the replay stored %v", kept.values)
	}
	t.Logf("the run took %s, its replay with inspecting the file %s, %d bytes of recording", live, time.Since(began), len(text))

	other := buildRelay(t, "-ldflags=-X main.version=2")
	_, report, err = elsewhere.Replay(within(t, 2*time.Minute), other, rec)
	if err != nil || report.Same || report.Original || report.Diverged != "it asked dns A newer.example, recorded was tcp dial "+address {
		t.Errorf("Replay of another build: %+v, %v", report, err)
	}
	rec.Cut = true
	if _, _, err := elsewhere.Replay(t.Context(), file, rec); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("Replay of what was cut: %v", err)
	}
}

// TestReplayEndings repeats runs that were ended from outside.
func TestReplayEndings(t *testing.T) {
	h, _ := relayHost(t)
	for name, limits := range map[string]core.Limits{
		"hostile/inf_loop": {Fuel: 100_000_000_000}, "hostile/call_tree": {Fuel: 50_000_000}, "hostile/sleep_1h": {}, "hostile/trap_oob": {},
		"hostile/host_flood": {Fuel: 100_000_000_000}, "hostile/out_flood": {},
	} {
		file := readFile(t, "testdata", name+".wasm")
		m, err := h.Load(t.Context(), stored(file, core.Grant{Limits: limits}, number()), file)
		if err != nil {
			t.Fatal(err)
		}
		got := m.Collect(within(t, 200*time.Millisecond), someone, nil)
		rec := got.Recording
		if rec == nil {
			t.Fatalf("%s was not recorded", name)
		}
		if rec.Cut { // it read the clock too often
			continue
		}
		began := time.Now()
		again, report, err := h.Replay(within(t, 2*time.Minute), file, *rec)
		if strings.Contains(name, "hostile") && err != nil {
			t.Errorf("Replay of %s: %v", name, err)
			continue
		}
		if !report.Same || again.Why.Code != got.Why.Code {
			t.Errorf("Replay of %s ended with %s, recorded %s; %+v", name, again.Why.Code, got.Why.Code, report)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("Replay of %s took %s", name, took)
		}
		_ = m.Close(t.Context())
	}
}
