package collect_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/collect/dial"
)

func builtin() *collect.Registry {
	return collect.Builtin(dial.New(dial.Policy{Loopback: true, Private: true}, dial.Options{}).DialContext)
}

func run(tb testing.TB, timeout time.Duration, use string, config map[string]any) core.Result {
	tb.Helper()
	c, err := builtin().Prepare(use, config)
	if err != nil {
		tb.Fatalf("prepare %s %v: %v", use, config, err)
	}
	ctx, cancel := context.WithTimeout(tb.Context(), timeout)
	defer cancel()
	return c.Collect(ctx, core.RunContext{})
}

// server answers by path.
func server(tb testing.TB) *httptest.Server {
	tb.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"version":"1.2","queue":{"depth":7}}`)
	})
	mux.HandleFunc("/down", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 3<<20)) })
	mux.HandleFunc("/hop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/ok", http.StatusFound) })
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusFound)
	})
	mux.HandleFunc("/gone", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "short")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.Header.Get("X-Token"), r.Host, body)
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	s := httptest.NewServer(mux)
	tb.Cleanup(s.Close)
	return s
}

// hole is an address that accepts connections and says nothing.
func hole(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			tb.Cleanup(func() { conn.Close() })
		}
	}()
	tb.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// closed is an address where nothing listens.
func closed(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestHTTP(t *testing.T) {
	base := server(t).URL
	gone, silent := closed(t), hole(t)
	_, gonePort, _ := net.SplitHostPort(gone)
	for _, tt := range []struct {
		name    string
		config  map[string]any
		outcome core.Outcome
		code    string
		text    string // of the reason, a part
	}{
		{"ok", map[string]any{"url": base + "/ok"}, core.Pass, "", ""},
		{"status implied", map[string]any{"url": base + "/down"}, core.Fail, core.CodeImplied, "HTTP 503"},
		{"status not expected", map[string]any{"url": base + "/down", "expect": "200-299"}, core.Fail, "status", "HTTP 503"},
		{"status expected", map[string]any{"url": base + "/down", "expect": "200, 503"}, core.Pass, "", ""},
		{"any status", map[string]any{"url": base + "/down", "expect": "any"}, core.Pass, "", ""},
		{"redirect", map[string]any{"url": base + "/hop"}, core.Pass, "", ""},
		{"redirect not followed", map[string]any{"url": base + "/hop", "follow": 0, "expect": "2xx"}, core.Fail, "status", "HTTP 302"},
		{"redirect for ever", map[string]any{"url": base + "/round", "expect": "2xx"}, core.Fail, "status", "HTTP 302"},
		{"redirect for ever implied", map[string]any{"url": base + "/round", "follow": 3}, core.Fail, core.CodeImplied, "HTTP 302, still a redirect after 3"},
		{"redirect not followed implied", map[string]any{"url": base + "/hop", "follow": 0}, core.Pass, "", ""},
		{"redirect without end expected", map[string]any{"url": base + "/round", "expect": "302"}, core.Pass, "", ""},
		{"redirect to nothing", map[string]any{"url": base + "/gone"}, core.Fail, "connect", "connection refused on :1"},
		{"redirect to a file", map[string]any{"url": base + "/file"}, core.Fail, "protocol", "neither http nor https"},
		{"redirect to metadata", map[string]any{"url": base + "/away"}, core.Error, "refused", "link-local"},
		{"body cut", map[string]any{"url": base + "/cut"}, core.Fail, "protocol", "unexpected EOF while reading the body"},
		{"refused", map[string]any{"url": "http://" + gone}, core.Fail, "connect", "connection refused on :" + gonePort},
		{"silent", map[string]any{"url": "http://" + silent}, core.Fail, "timeout", "while waiting for an answer"},
		{"slow", map[string]any{"url": base + "/slow"}, core.Fail, "timeout", "timed out after 3"},
		{"not TLS", map[string]any{"url": "https" + strings.TrimPrefix(base, "http") + "/ok"}, core.Fail, "tls", "does not speak TLS"},
		{"odd address", map[string]any{"url": "http://2130706433/"}, core.Fail, "protocol", "usual form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, 300*time.Millisecond, "http", tt.config)
			if r.Outcome != tt.outcome || r.Why.Code != tt.code || !strings.Contains(r.Why.Text, tt.text) {
				t.Errorf("got %v %+v, want %v %s %q", r.Outcome, r.Why, tt.outcome, tt.code, tt.text)
			}
		})
	}
}

func TestHTTPFacts(t *testing.T) {
	base := server(t).URL
	r := run(t, 5*time.Second, "http", map[string]any{"url": base + "/hop"})
	if r.Samples["status"] != int64(200) || r.Samples["body_bytes"] != int64(37) {
		t.Errorf("samples are %v, want status 200 and 37 bytes", r.Samples)
	}
	if _, ok := r.Samples["cert_days"]; ok {
		t.Error("cert_days is there without TLS")
	}
	version := r.Facts["json"].(map[string]any)["version"]
	if version != "1.2" || r.Facts["final_url"] != base+"/ok" || !strings.Contains(r.Facts["body"].(string), "depth") {
		t.Errorf("facts are %v", r.Facts)
	}
	if r.Facts["headers"].(map[string]string)["content-type"] != "application/json" {
		t.Errorf("headers are %v", r.Facts["headers"])
	}
	var names []string
	for _, p := range r.Phases {
		names = append(names, p.Name)
		if p.Took < 0 || p.Start < 0 {
			t.Errorf("phase %+v is negative", p)
		}
	}
	if got := strings.Join(names, ","); got != "dns,connect,first byte,transfer" {
		t.Errorf("phases are %s", got)
	}
	if r = run(t, 5*time.Second, "http", map[string]any{"url": base + "/big", "max_body_bytes": 1000}); r.Samples["body_bytes"] != int64(1000) {
		t.Errorf("read %v bytes of a big body, want the cap of 1000", r.Samples["body_bytes"])
	}
	r = run(t, 5*time.Second, "http", map[string]any{"url": base + "/echo", "method": "POST", "body": "hello", "headers": map[string]any{"X-Token": "abc", "Host": "other.example"}})
	if got := r.Facts["body"]; got != "POST abc other.example hello" {
		t.Errorf("the server saw %q", got)
	}
}

// certificate is a self-signed one for 127.0.0.1.
func certificate(tb testing.TB, from, to time.Time) tls.Certificate {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: from, NotAfter: to,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestHTTPS(t *testing.T) {
	serve := func(cert tls.Certificate) string {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	now := time.Now()
	good := serve(certificate(t, now.Add(-time.Hour), now.Add(10*24*time.Hour)))
	expired := serve(certificate(t, now.Add(-100*time.Hour), now.Add(-150*time.Minute)))

	if r := run(t, 5*time.Second, "http", map[string]any{"url": good}); r.Outcome != core.Fail || !strings.Contains(r.Why.Text, "authority") {
		t.Errorf("a self-signed certificate: got %v %q", r.Outcome, r.Why)
	}
	if r := run(t, 5*time.Second, "http", map[string]any{"url": expired}); r.Outcome != core.Fail || !strings.Contains(r.Why.Text, "certificate expired 2 h ago") {
		t.Errorf("an expired certificate: got %v %q", r.Outcome, r.Why)
	}
	r := run(t, 5*time.Second, "http", map[string]any{"url": good, "insecure": true})
	if days := r.Samples["cert_days"].(float64); r.Outcome != core.Pass || days < 9.9 || days > 10 {
		t.Errorf("got %v with %v days left, want a pass with 10", r.Outcome, days)
	}
	if r = run(t, 5*time.Second, "http", map[string]any{"url": expired, "insecure": true}); r.Samples["cert_days"].(float64) > 0 {
		t.Errorf("an expired certificate has %v days left", r.Samples["cert_days"])
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 64)
				n, _ := conn.Read(buf)
				fmt.Fprintf(conn, "+PONG %s", buf[:n])
			}()
		}
	}()
	address := l.Addr().String()
	if r := run(t, time.Second, "tcp", map[string]any{"address": address, "send": "PING\r\n", "expect": "+PONG"}); r.Outcome != core.Pass || r.Facts["answer"] != "+PONG PING\r\n" {
		t.Errorf("ping: got %v %v %v", r.Outcome, r.Why, r.Facts)
	}
	if r := run(t, time.Second, "tcp", map[string]any{"address": address, "send": "PING", "expect": "nothing like it"}); r.Outcome != core.Fail || r.Why.Code != "answer" {
		t.Errorf("a wrong answer: got %v %v", r.Outcome, r.Why)
	}
	if r := run(t, time.Second, "tcp", map[string]any{"address": address}); r.Outcome != core.Pass || r.Samples["connect_ms"].(float64) <= 0 {
		t.Errorf("connect: got %v %v %v", r.Outcome, r.Why, r.Samples)
	}
	if r := run(t, time.Second, "tcp", map[string]any{"address": closed(t)}); r.Outcome != core.Fail || r.Why.Code != "connect" {
		t.Errorf("a closed port: got %v %v", r.Outcome, r.Why)
	}
	if r := run(t, 200*time.Millisecond, "tcp", map[string]any{"address": hole(t), "expect": "x"}); r.Outcome != core.Fail || r.Why.Code != "timeout" || !strings.Contains(r.Why.Text, "expected text") {
		t.Errorf("a silent port: got %v %v", r.Outcome, r.Why)
	}
}

func TestRefusedConfig(t *testing.T) {
	for _, tt := range []struct {
		use    string
		config map[string]any
		want   string
	}{
		{"http", map[string]any{"url": "ftp://x"}, "must begin with http"},
		{"http", map[string]any{"url": "http://"}, "names no host"},
		{"http", map[string]any{"url": "http://a b/"}, "invalid character"},
		{"http", map[string]any{"url": "http://x", "expect": "300-200"}, "not a status"},
		{"http", map[string]any{"url": "http://x", "urk": 1}, "unknown field \"urk\""},
		{"tcp", map[string]any{"address": "nohost"}, "must be host:port"},
		{"tcp", map[string]any{"address": "h:99999"}, "not a port"},
		{"htp", nil, "there is no collector \"htp\"; there are http, tcp"},
	} {
		if _, err := builtin().Prepare(tt.use, tt.config); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("prepare %s %v: got %v, want %q", tt.use, tt.config, err, tt.want)
		}
	}
}

// TestRedirectedHeaders proves that the author's headers, which may hold
// secrets, go to the host that he named and to no other.
func TestRedirectedHeaders(t *testing.T) {
	base := server(t).URL
	other := strings.Replace(base, "127.0.0.1", "localhost", 1)
	headers := map[string]any{"X-Token": "abc", "Accept": "text/plain"}
	for to, want := range map[string]string{base + "/echo": "GET abc ", other + "/echo": "GET  localhost:"} {
		r := run(t, 5*time.Second, "http", map[string]any{"url": base + "/elsewhere?to=" + url.QueryEscape(to), "headers": headers})
		if body, _ := r.Facts["body"].(string); !strings.HasPrefix(body, want) {
			t.Errorf("redirected to %s: the server saw %q, want %q (%v)", to, body, want, r.Why)
		}
	}
}

// TestKeepAlive proves that a kept connection is used again, which shows in the
// phases, and that it outlives the run that opened it.
func TestKeepAlive(t *testing.T) {
	base := server(t).URL
	c, err := builtin().Prepare("http", map[string]any{"url": base + "/hop", "keep_alive": true})
	if err != nil {
		t.Fatal(err)
	}
	const want = "first byte,transfer" // in the first run too: its second hop has a connection already
	for i := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		r := c.Collect(ctx, core.RunContext{})
		cancel()
		var names []string
		for _, p := range r.Phases {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, ","); r.Outcome != core.Pass || got != want {
			t.Errorf("run %d: %v %v with phases %s, want %s", i, r.Outcome, r.Why, got, want)
		}
	}
}

// TestSecondAddress proves that the phases hold when the first address of a
// name does not answer and the second one does.
func TestSecondAddress(t *testing.T) {
	base := server(t).URL
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	nobody := netip.MustParseAddr("127.255.255.254")
	two := resolver{nobody, netip.MustParseAddr("127.0.0.1")}
	c, err := collect.Builtin(dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: two}).DialContext).Prepare("http", map[string]any{"url": "http://two.example:" + port + "/ok"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r := c.Collect(ctx, core.RunContext{})
	if r.Outcome != core.Pass {
		t.Fatalf("got %v %v", r.Outcome, r.Why)
	}
	for _, p := range r.Phases {
		if p.Took < 0 || p.Start < 0 || p.Start+p.Took > r.Latency {
			t.Errorf("phase %+v does not fit into %v", p, r.Latency)
		}
	}
	none, err := collect.Builtin(dial.New(dial.Policy{Loopback: true}, dial.Options{Resolver: resolver{nobody, nobody}}).DialContext).Prepare("tcp", map[string]any{"address": "two.example:" + port})
	if err != nil {
		t.Fatal(err)
	}
	if r := none.Collect(ctx, core.RunContext{}); r.Outcome != core.Fail || strings.Contains(r.Summary, "\n") {
		t.Errorf("neither address answers: %v %q, want a fail on one line", r.Outcome, r.Summary)
	}
}

// resolver gives every name the same addresses.
type resolver []netip.Addr

func (r resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) { return r, nil }

// TestCancelled proves that a run that we ended ourselves is an Error of ours
// and no fault of the target.
func TestCancelled(t *testing.T) {
	silent := hole(t)
	for _, tt := range []struct {
		use    string
		config map[string]any
	}{
		{"http", map[string]any{"url": "http://" + silent}},
		{"https", map[string]any{"url": "https://" + silent}},
		{"tcp", map[string]any{"address": silent, "expect": "x"}},
	} {
		c, err := builtin().Prepare(strings.TrimSuffix(tt.use, "s"), tt.config)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		time.AfterFunc(50*time.Millisecond, cancel)
		if r := c.Collect(ctx, core.RunContext{}); r.Outcome != core.Error || r.Why.Code != "cancelled" {
			t.Errorf("%s: got %v %+v, want an error, cancelled", tt.use, r.Outcome, r.Why)
		}
	}
}

// TestTCPTooMuch proves that a server that never stops talking is cut short,
// and that what it said is told as it was.
func TestTCPTooMuch(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for err := error(nil); err == nil; {
					_, err = io.WriteString(conn, "and another thing, ")
				}
			}()
		}
	}()
	r := run(t, 10*time.Second, "tcp", map[string]any{"address": l.Addr().String(), "expect": "a word of sense"})
	if answer, _ := r.Facts["answer"].(string); r.Outcome != core.Fail || len(answer) != 64<<10 || !strings.Contains(r.Why.Text, "not in the first 65536 bytes") {
		t.Errorf("got %v %q and %d bytes", r.Outcome, r.Why, len(answer))
	}
}

// TestDialEndsWithRun proves that a dial that would go on by itself ends with
// its run.
func TestDialEndsWithRun(t *testing.T) {
	ended := make(chan error, 1)
	c, err := collect.Builtin(func(ctx context.Context, _, _ string) (net.Conn, error) {
		_, deadline := ctx.Deadline()
		<-ctx.Done()
		if !deadline {
			t.Error("the dial has no deadline")
		}
		ended <- ctx.Err()
		return nil, ctx.Err()
	}).Prepare("http", map[string]any{"url": "http://black.example"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if r := c.Collect(ctx, core.RunContext{}); r.Outcome != core.Fail || r.Why.Code != "timeout" {
		t.Errorf("got %v %v", r.Outcome, r.Why)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		t.Error("the dial goes on")
	}
}

// TestNothingStays proves that a run that timed out leaves no goroutine and no
// connection: acceptance 10.
func TestNothingStays(t *testing.T) {
	silent := hole(t)
	runtime.GC()
	before := runtime.NumGoroutine()
	for range 20 {
		run(t, 20*time.Millisecond, "http", map[string]any{"url": "http://" + silent})
		run(t, 20*time.Millisecond, "http", map[string]any{"url": "https://" + silent})
		run(t, 20*time.Millisecond, "tcp", map[string]any{"address": silent, "expect": "x"})
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<16)
			t.Fatalf("%d goroutines after, %d before:\n%s", runtime.NumGoroutine(), before, buf[:runtime.Stack(buf, true)])
		}
	}
}

// BenchmarkHTTP compares the collector with a bare net/http loop that opens a
// connection for each request, both against the same server in this process.
func BenchmarkHTTP(b *testing.B) {
	base := server(b).URL
	c, err := builtin().Prepare("http", map[string]any{"url": base + "/ok"})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for b.Loop() {
			req, _ := http.NewRequestWithContext(b.Context(), http.MethodGet, base+"/ok", http.NoBody)
			resp, err := client.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	})
	b.Run("collector", func(b *testing.B) {
		for b.Loop() {
			if r := c.Collect(b.Context(), core.RunContext{}); r.Outcome != core.Pass {
				b.Fatal(r.Why)
			}
		}
	})
}
