package wasm_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect/dial"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// target is a site with everything that a guest can meet.
func target(t *testing.T) (site, other *httptest.Server) {
	t.Helper()
	other = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "secret") }))
	t.Cleanup(other.Close)
	mux := http.NewServeMux()
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Method", r.Method)
		_, _ = io.WriteString(w, r.Header.Get("X-Key")+":"+string(body))
	})
	mux.HandleFunc("/bytes", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff, 0xfe}) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 40<<10)) })
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
	})
	mux.Handle("/here", http.RedirectHandler("/echo", http.StatusFound))
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusFound))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusFound))
	site = httptest.NewServer(mux)
	t.Cleanup(site.Close)
	return site, other
}

// fetch runs the module that sends its configuration as a request.
func fetch(t *testing.T, m *wasm.Module, request abi.HTTPRequest) (abi.HTTPResponse, core.Result) {
	t.Helper()
	raw, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	got := m.TestRun(within(t, 3*time.Second), core.RunContext{}, config)
	if got.Outcome != core.Pass {
		t.Fatalf("fetch %+v: %s %v", request, got.Outcome, got.Why)
	}
	detail, err := json.Marshal(got.Facts["detail"])
	if err != nil {
		t.Fatal(err)
	}
	var response abi.HTTPResponse
	if err := json.Unmarshal(detail, &response); err != nil {
		t.Fatal(err)
	}
	return response, got
}

func TestHTTP(t *testing.T) {
	site, other := target(t)
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/fetch", core.Grant{HTTP: []string{site.URL}, Private: true, Limits: core.Limits{HTTPResponse: 32 << 10}})

	got, result := fetch(t, m, abi.HTTPRequest{Method: "POST", URL: site.URL + "/echo", Headers: map[string]string{"X-Key": "k"}, Body: "hi"})
	if got.Status != 200 || got.Body != "k:hi" || got.Headers["x-method"] != "POST" || got.DurationMS <= 0 {
		t.Errorf("fetch echo = %+v", got)
	}
	if c := result.Usage.Calls; len(c) != 1 || !c[0].Allowed || c[0].Grant != site.URL || c[0].Detail != "POST "+site.URL+"/echo: 200, 4 bytes" {
		t.Errorf("Calls of fetch echo = %+v", c)
	}
	if got, _ := fetch(t, m, abi.HTTPRequest{URL: site.URL + "/bytes"}); string(got.Bytes()) != "\xff\xfe" {
		t.Errorf("fetch bytes = %+v", got)
	}
	if got, result := fetch(t, m, abi.HTTPRequest{URL: site.URL + "/here"}); got.Body != ":" || got.URL != site.URL+"/echo" || result.Usage.HTTP != 2 {
		t.Errorf("fetch here = %+v", got)
	}
	if got, _ := fetch(t, m, abi.HTTPRequest{URL: site.URL + "/away", NoRedirect: true}); got.Status != 302 {
		t.Errorf("fetch away without redirects = %+v", got)
	}
	for name, c := range map[string]struct {
		request abi.HTTPRequest
		code    string
	}{
		"big":         {abi.HTTPRequest{URL: site.URL + "/big"}, abi.CodeTooLarge},
		"slow":        {abi.HTTPRequest{URL: site.URL + "/slow", TimeoutMS: 50}, abi.CodeTimeout},
		"away":        {abi.HTTPRequest{URL: site.URL + "/away"}, abi.CodeDenied},
		"round":       {abi.HTTPRequest{URL: site.URL + "/round"}, abi.CodeRedirects},
		"other":       {abi.HTTPRequest{URL: other.URL}, abi.CodeDenied},
		"scheme":      {abi.HTTPRequest{URL: "file:///etc/passwd"}, abi.CodeInvalid},
		"https":       {abi.HTTPRequest{URL: strings.Replace(site.URL, "http", "https", 1)}, abi.CodeDenied},
		"user":        {abi.HTTPRequest{URL: strings.Replace(site.URL, "//", "//u:p@", 1)}, abi.CodeInvalid},
		"method":      {abi.HTTPRequest{Method: "CONNECT", URL: site.URL}, abi.CodeInvalid},
		"host":        {abi.HTTPRequest{URL: site.URL, Headers: map[string]string{"hOST": "internal"}}, abi.CodeInvalid},
		"header":      {abi.HTTPRequest{URL: site.URL, Headers: map[string]string{"X": "a\r\nHost: b"}}, abi.CodeProtocol},
		"header name": {abi.HTTPRequest{URL: site.URL, Headers: map[string]string{"Host ": "b"}}, abi.CodeProtocol},
		"backslash":   {abi.HTTPRequest{URL: "http://" + strings.TrimPrefix(other.URL, "http://") + "\\@" + strings.TrimPrefix(site.URL, "http://")}, abi.CodeInvalid},
	} {
		got, _ := fetch(t, m, c.request)
		if got.Error == nil || got.Error.Code != c.code || got.Body != "" {
			t.Errorf("fetch %s = %+v %v, want %s", name, got, got.Error, c.code)
		}
	}
}

// A module without private addresses in its grant cannot reach this machine,
// whatever the address is written like.
func TestHTTPGuard(t *testing.T) {
	site, _ := target(t)
	guarded := dial.New(dial.Policy{}, dial.Options{})
	h := newHost(t, wasm.Options{Dial: guarded.DialContext})
	m := load(t, h, "modules/fetch", core.Grant{HTTP: []string{"http://*:*"}})
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(site.URL, "http://"))
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0", "169.254.169.254", "10.0.0.1"} {
		got, _ := fetch(t, m, abi.HTTPRequest{URL: "http://" + host + ":" + port + "/echo", TimeoutMS: 500})
		if got.Error == nil || got.Error.Code != abi.CodeDenied {
			t.Errorf("fetch from %s = %+v %v, want denied", host, got, got.Error)
		}
	}
	for _, host := range []string{"2130706433", "0177.0.0.1", "0x7f.1", "127.1"} {
		if got, _ := fetch(t, m, abi.HTTPRequest{URL: "http://" + host + ":" + port + "/echo", TimeoutMS: 500}); got.Error == nil {
			t.Errorf("fetch from %s = %+v, want an error", host, got)
		}
	}
	none := load(t, newHost(t, wasm.Options{}), "modules/fetch", core.Grant{HTTP: []string{site.URL}})
	if got, _ := fetch(t, none, abi.HTTPRequest{URL: site.URL}); got.Error == nil {
		t.Errorf("fetch without a dialer = %+v, want an error", got)
	}
}

func TestHTTPQuota(t *testing.T) {
	site, _ := target(t)
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/fetch", core.Grant{HTTP: []string{site.URL}, Private: true, Limits: core.Limits{HTTPCalls: 1}})
	got, result := fetch(t, m, abi.HTTPRequest{URL: site.URL + "/here"})
	if got.Error == nil || got.Error.Code != abi.CodeQuota || result.Usage.HTTP != 1 {
		t.Errorf("fetch of a redirect with one call = %+v %v", got, got.Error)
	}
}

// A request that hangs ends with the run.
// acceptance 10, acceptance 38.
func TestHTTPDeadline(t *testing.T) {
	site, _ := target(t)
	h := newHost(t, wasm.Options{})
	m := load(t, h, "modules/fetch", core.Grant{HTTP: []string{site.URL}, Private: true})
	began := time.Now()
	got := m.Collect(within(t, 100*time.Millisecond), core.RunContext{}, map[string]any{"url": site.URL + "/slow"})
	if took := time.Since(began); got.Outcome != core.Error || got.Why.Code != "limit_time" || took > time.Second {
		t.Errorf("Collect = %s %v after %s", got.Outcome, got.Why, took)
	}
}
