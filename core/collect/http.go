package collect

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core"
)

const (
	bodyCap      = 1 << 20 // default of max_body_bytes
	bodyCapMost  = 16 << 20
	redirectsMax = 10
)

// httpSchema is the JSON schema of the configuration of http.
const httpSchema = `{
  "type": "object", "additionalProperties": false, "required": ["url"],
  "properties": {
    "url":             {"type": "string", "minLength": 1, "description": "http:// or https:// address to ask"},
    "method":          {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], "default": "GET"},
    "headers":         {"type": "object", "description": "request headers; a value may be {secret: NAME}",
                        "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["secret"], "additionalProperties": false, "properties": {"secret": {"type": "string"}}}]}},
    "body":            {"type": "string", "description": "request body"},
    "expect":          {"type": "string", "pattern": "^(any|[1-5]([0-9]{2}|xx)(-[1-5][0-9]{2})?(, ?[1-5]([0-9]{2}|xx)(-[1-5][0-9]{2})?)*)$", "default": "2xx,3xx", "description": "statuses that pass: 200, 2xx, 200-299, a list of them, or any"},
    "follow":          {"type": "integer", "minimum": 0, "maximum": 10, "default": 10, "description": "redirects to follow"},
    "max_body_bytes":  {"type": "integer", "minimum": 0, "maximum": 16777216, "default": 1048576, "description": "how much of the body to read"},
    "insecure":        {"type": "boolean", "default": false, "description": "accept any certificate"},
    "server_name":     {"type": "string", "description": "name to ask for and to verify in TLS; default the host of url"},
    "keep_alive":      {"type": "boolean", "default": false, "description": "reuse connections between runs, so that name, connect and TLS are not tested each time"}
  }
}`

// httpConfig is the configuration of http.
type httpConfig struct {
	URL        string            `json:"url"`
	Method     string            `json:"method"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	Expect     string            `json:"expect"`
	Follow     *int              `json:"follow"`
	MaxBody    *int64            `json:"max_body_bytes"`
	Insecure   bool              `json:"insecure"`
	ServerName string            `json:"server_name"`
	KeepAlive  bool              `json:"keep_alive"`
}

// transportKey is what makes two checks need transports of their own.
type transportKey struct {
	insecure, keepAlive bool
	serverName          string
}

// httpKind is the collector http. Its transports are shared by all checks.
type httpKind struct {
	dial DialFunc

	mu         sync.Mutex
	transports map[transportKey]*http.Transport // guarded by mu
}

func newHTTP(dial DialFunc) *httpKind {
	return &httpKind{dial: dial, transports: map[transportKey]*http.Transport{}}
}

func (*httpKind) info() core.CollectorInfo {
	return core.CollectorInfo{
		Name:   "http",
		Doc:    "Asks an HTTP server and looks at its answer.",
		Schema: json.RawMessage(httpSchema),
		Samples: []core.SampleDecl{
			{Name: "status", Type: core.IntegerSample, Doc: "status code of the answer"},
			{Name: "body_bytes", Type: core.IntegerSample, Unit: "bytes", Doc: "length of the body that was read"},
			{Name: "cert_days", Type: core.NumberSample, Unit: "days", Doc: "days until the certificate expires; missing without TLS"},
		},
		Facts: []core.SampleDecl{
			{Name: "latency", Type: core.DurationSample, Doc: "from the beginning to the last byte of the body"},
			{Name: "body", Type: core.StringSample, Doc: "the body as text"},
			{Name: "headers", Type: core.MapSample, Doc: "headers of the answer, names in lower case"},
			{Name: "json", Type: core.AnySample, Doc: "the body as JSON; missing when it is not"},
			{Name: "first_byte", Type: core.DurationSample, Doc: "from the beginning to the first byte of the answer"},
			{Name: "tls_version", Type: core.StringSample, Doc: "for example TLS 1.3; missing without TLS"},
			{Name: "final_url", Type: core.StringSample, Doc: "the address that answered, after redirects"},
		},
	}
}

func (k *httpKind) prepare(config map[string]any) (Collector, error) {
	c := httpConfig{Method: http.MethodGet}
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("url: %w", errors.Unwrap(err))
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("url: %q must begin with http:// or https://", c.URL)
	case u.Hostname() == "":
		return nil, fmt.Errorf("url: %q names no host", c.URL)
	}
	expect, err := parseStatuses(cmp.Or(c.Expect, "2xx,3xx"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(context.Background(), c.Method, c.URL, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	req.Header.Set("User-Agent", "tocsin")
	for name, value := range c.Headers {
		if strings.EqualFold(name, "Host") {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	h := &httpCollector{req: req, body: c.Body, expect: expect, implied: c.Expect == "", maxBody: bodyCap, follow: redirectsMax, keep: c.KeepAlive}
	if c.MaxBody != nil {
		h.maxBody = min(*c.MaxBody, bodyCapMost)
	}
	if c.Follow != nil {
		h.follow = *c.Follow
	}
	h.client = &http.Client{
		Transport:     k.transport(transportKey{c.Insecure, c.KeepAlive, c.ServerName}),
		CheckRedirect: h.redirected,
	}
	return h, nil
}

// redirected looks at a redirect before it is followed.
func (h *httpCollector) redirected(req *http.Request, via []*http.Request) error {
	if len(via) > h.follow {
		return http.ErrUseLastResponse
	}
	if req.URL.Scheme != "http" && req.URL.Scheme != "https" {
		return fmt.Errorf("redirected to %s, which is neither http nor https", req.URL.Redacted())
	}
	first := via[0].URL
	if req.URL.Hostname() == first.Hostname() && (req.URL.Scheme == "https" || first.Scheme == "http") {
		return nil
	}
	// The author's headers are for the host that he named: they may hold
	// secrets, and net/http holds back only those that it knows to.
	for name := range h.req.Header {
		switch name {
		case "Accept", "Accept-Encoding", "Accept-Language", "Content-Type", "User-Agent":
		default:
			req.Header.Del(name)
		}
	}
	return nil
}

func (k *httpKind) transport(key transportKey) *http.Transport {
	k.mu.Lock()
	defer k.mu.Unlock()
	t, ok := k.transports[key]
	if !ok {
		t = &http.Transport{
			DialContext:            k.dialRun,
			DisableKeepAlives:      !key.keepAlive,
			DisableCompression:     false,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        5 * time.Minute,
			TLSHandshakeTimeout:    time.Minute, // see dialRun
			MaxResponseHeaderBytes: 256 << 10,
			TLSClientConfig: &tls.Config{
				ServerName:         key.serverName,
				InsecureSkipVerify: key.insecure, //nolint:gosec // the author of the check asked for it, in so many words
			},
		}
		k.transports[key] = t
	}
	return t
}

// runKey finds, in the context of a dial, the run that it is for.
type runKey struct{}

// dialRun dials for a run, and no longer than it. net/http cuts a dial and the
// TLS handshake after it loose from the request, so that another request may
// have the connection: against a target that does not answer they would go on
// long after the run, and for ever in the case of the handshake. A connection
// that is to be kept is left to the time-out of the transport instead.
func (k *httpKind) dialRun(ctx context.Context, network, address string) (net.Conn, error) {
	run, ok := ctx.Value(runKey{}).(running)
	if !ok {
		return k.dial(ctx, network, address)
	}
	conn, err := k.dial(run.ctx, network, address) //nolint:contextcheck // that of the run, which holds all that ctx does
	if err == nil && !run.keepAlive {
		context.AfterFunc(run.ctx, func() { conn.Close() }) //nolint:gosec,contextcheck // it may be closed already; that of the run
	}
	return conn, err
}

// running is a run under way.
type running struct {
	ctx       context.Context //nolint:containedctx // handed through net/http, which offers no other way
	keepAlive bool
}

// httpCollector is http with its configuration.
type httpCollector struct {
	req     *http.Request
	body    string
	expect  []statusRange
	implied bool // expect is the default, not the author's
	maxBody int64
	follow  int // redirects
	keep    bool
	client  *http.Client
}

// times notes when each phase of one exchange began and ended. The callbacks
// of httptrace may run on other goroutines, even after the exchange is over.
type times struct {
	mu    sync.Mutex
	begin time.Time
	marks [8]time.Time // guarded by mu; see the constants
}

const (
	markDNS = iota
	markDNSDone
	markConnect
	markConnectDone
	markTLS
	markTLSDone
	markWrote
	markFirstByte
)

func (t *times) mark(i int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marks[i] = time.Now()
}

func (t *times) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GetConn: func(string) {
			t.mu.Lock()
			defer t.mu.Unlock()
			clear(t.marks[:]) // a redirect begins anew: the last hop is shown
			t.marks[markDNS] = time.Now()
		},
		ConnectStart:         func(string, string) { t.connect() },
		ConnectDone:          func(string, string, error) { t.mark(markConnectDone) },
		TLSHandshakeStart:    func() { t.mark(markTLS) },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { t.mark(markTLSDone) },
		WroteRequest:         func(httptrace.WroteRequestInfo) { t.mark(markWrote) },
		GotFirstResponseByte: func() { t.mark(markFirstByte) },
	}
}

// connect ends the search for the address when the first connection begins.
func (t *times) connect() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if t.marks[markDNSDone].IsZero() {
		t.marks[markDNSDone] = now
	}
	t.marks[markConnect], t.marks[markConnectDone] = now, time.Time{} // the address before it has failed
}

// phases lists what took how long, and what was under way at the end.
func (t *times) phases(end time.Time) (list []core.Phase, doing string) {
	t.mu.Lock()
	m := t.marks
	t.mu.Unlock()
	add := func(name string, from, to time.Time) {
		if from.IsZero() {
			return
		}
		doing = name
		if to.IsZero() {
			to = end
		}
		list = append(list, core.Phase{Name: name, Start: from.Sub(t.begin), Took: max(0, to.Sub(from))}) // a server may answer before it was sent all
	}
	if !m[markDNSDone].IsZero() || m[markConnect].IsZero() && m[markWrote].IsZero() {
		add("dns", m[markDNS], m[markDNSDone])
	}
	add("connect", m[markConnect], m[markConnectDone])
	add("tls", m[markTLS], m[markTLSDone])
	add("first byte", m[markWrote], m[markFirstByte])
	add("transfer", m[markFirstByte], end)
	return list, doing
}

// doingWords says in a sentence what a phase does.
func doingWords(phase string) string {
	switch phase {
	case "dns":
		return "looking up the host"
	case "tls":
		return "shaking hands over TLS"
	case "first byte":
		return "waiting for an answer"
	case "transfer":
		return "reading the body"
	}
	return "connecting"
}

// Collect asks once.
func (h *httpCollector) Collect(ctx context.Context, _ core.RunContext) core.Result {
	t := &times{begin: time.Now()}
	run, end := context.WithCancel(httptrace.WithClientTrace(ctx, t.trace()))
	defer end() // nothing that the run began outlives it
	req := h.req.Clone(context.WithValue(run, runKey{}, running{run, h.keep}))
	if h.body != "" {
		req.Body = io.NopCloser(strings.NewReader(h.body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(h.body)), nil }
		req.ContentLength = int64(len(h.body))
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return failed(ctx, err, asked(req.URL, err), t)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, h.maxBody))
	if err != nil {
		return failed(ctx, err, resp.Request.URL, t)
	}
	return h.answered(resp, body, t)
}

// asked is the address that was asked when err happened: after redirects it is
// not the first.
func asked(first *url.URL, err error) *url.URL {
	if e, ok := errors.AsType[*url.Error](err); ok {
		if u, err := url.Parse(e.URL); err == nil && u.Host != "" {
			return u
		}
	}
	return first
}

func failed(ctx context.Context, err error, at *url.URL, t *times) core.Result {
	end := time.Now()
	phases, doing := t.phases(end)
	r := core.Result{Latency: end.Sub(t.begin), Phases: phases}
	r.Outcome, r.Why = tlsFailure(err)
	if r.Why.IsZero() {
		address := at.Host
		if at.Port() == "" {
			address = net.JoinHostPort(at.Hostname(), map[string]string{"http": "80", "https": "443"}[at.Scheme])
		}
		r.Outcome, r.Why = failure(ctx, err, doingWords(doing), address, r.Latency)
	}
	r.Summary = r.Why.Text
	r.Facts = core.Samples{"latency": r.Latency}
	return r
}

// tlsFailure explains an error of the certificate; zero when it is none.
func tlsFailure(err error) (core.Outcome, core.Why) {
	if verify, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		err = verify.Err
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if ago := time.Since(invalid.Cert.NotAfter); ago > 0 {
			return core.Fail, core.Because("tls", "certificate expired {ago} ago", "ago", roughly(ago))
		}
		return core.Fail, core.Because("tls", "certificate is not valid before {from}", "from", invalid.Cert.NotBefore.UTC().Format(time.RFC3339))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return core.Fail, core.Because("tls", "certificate is signed by an authority that is not trusted here")
	}
	if host, ok := errors.AsType[x509.HostnameError](err); ok {
		return core.Fail, core.Because("tls", "certificate is not for {host}", "host", host.Host)
	}
	// net/http hides the TLS error behind a plain one when the server answers in HTTP.
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		return core.Fail, core.Because("tls", "the server does not speak TLS on this port")
	}
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		return core.Fail, core.Because("tls", "TLS handshake refused: {alert}", "alert", alert.Error())
	}
	return core.Pass, core.Why{}
}

func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return strconv.Itoa(int(d/(24*time.Hour))) + " d"
	case d >= 2*time.Hour:
		return strconv.Itoa(int(d/time.Hour)) + " h"
	}
	return strconv.Itoa(int(d/time.Minute)) + " min"
}

func (h *httpCollector) answered(resp *http.Response, body []byte, t *times) core.Result {
	end := time.Now()
	phases, _ := t.phases(end)
	latency := end.Sub(t.begin)
	r := core.Result{
		Latency: latency,
		Phases:  phases,
		Summary: strconv.Itoa(resp.StatusCode) + " in " + millis(latency),
		Samples: core.Samples{"status": int64(resp.StatusCode), "body_bytes": int64(len(body))},
		Facts: core.Samples{
			"latency": latency, "body": text(body), "headers": headers(resp.Header), "json": parsed(resp.Header, body),
			"final_url": resp.Request.URL.Redacted(),
		},
	}
	for _, p := range phases {
		if p.Name == "first byte" {
			r.Facts["first_byte"] = p.Start + p.Took
		}
	}
	if resp.TLS != nil {
		r.Facts["tls_version"] = tls.VersionName(resp.TLS.Version)
		if len(resp.TLS.PeerCertificates) > 0 {
			days := resp.TLS.PeerCertificates[0].NotAfter.Sub(end).Hours() / 24
			r.Samples["cert_days"] = float64(int(days*10)) / 10
		}
	}
	endless := h.implied && h.follow > 0 && isRedirect(resp)
	if endless || !matches(h.expect, resp.StatusCode) {
		r.Outcome = core.Fail
		r.Why = core.Because("status", "HTTP {status}", "status", strconv.Itoa(resp.StatusCode))
		if endless {
			r.Why = core.Because("status", "HTTP {status}, still a redirect after {follow}", "status", strconv.Itoa(resp.StatusCode), "follow", strconv.Itoa(h.follow))
		}
		if h.implied {
			r.Why.Code, r.Why.Args["sample"] = core.CodeImplied, "status"
		}
	}
	return r
}

// isRedirect reports an answer that sends elsewhere.
func isRedirect(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return resp.Header.Get("Location") != ""
	}
	return false
}

func text(body []byte) string {
	if utf8.Valid(body) {
		return string(body)
	}
	return strings.ToValidUTF8(string(body), "\uFFFD")
}

func headers(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		out[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	return out
}

// parsed is the body as JSON, nil when it is none. It is looked at only when
// the server says or the first byte suggests that it is JSON.
func parsed(h http.Header, body []byte) any {
	trimmed := strings.TrimLeft(string(body[:min(len(body), 16)]), " \t\r\n")
	if !strings.Contains(h.Get("Content-Type"), "json") && !strings.HasPrefix(trimmed, "{") && !strings.HasPrefix(trimmed, "[") {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return nil
	}
	return v
}

// statusRange is a range of statuses, both ends included.
type statusRange struct{ from, to int }

func parseStatuses(list string) ([]statusRange, error) {
	if list == "any" {
		return []statusRange{{100, 599}}, nil
	}
	var out []statusRange
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		if class, ok := strings.CutSuffix(item, "xx"); ok && len(class) == 1 && class[0] >= '1' && class[0] <= '5' {
			n := int(class[0]-'0') * 100
			out = append(out, statusRange{n, n + 99})
			continue
		}
		from, to, isRange := strings.Cut(item, "-")
		if !isRange {
			to = from
		}
		a, errA := strconv.Atoi(from)
		b, errB := strconv.Atoi(to)
		if errA != nil || errB != nil || a > b {
			return nil, fmt.Errorf("expect: %q is not a status; write for example 200, 2xx, 200-299 or any", item)
		}
		out = append(out, statusRange{a, b})
	}
	return out, nil
}

func matches(ranges []statusRange, status int) bool {
	for _, r := range ranges {
		if status >= r.from && status <= r.to {
			return true
		}
	}
	return false
}
