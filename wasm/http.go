package wasm

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core/collect/dial"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// client sends the http requests of guests through one dialer. Each request
// has a connection of its own: it is checked, and nothing is shared between
// modules.
type client struct {
	transport *http.Transport
	dial      DialFunc
}

func newClient(open DialFunc) *client {
	if open == nil {
		open = func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("modules have no network here")
		}
	}
	return &client{dial: open, transport: &http.Transport{
		DialContext:            open,
		DisableKeepAlives:      true,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}}
}

func problem(code, format string, args ...any) *abi.CallError {
	return &abi.CallError{Code: code, Message: fmt.Sprintf(format, args...)}
}

// http carries out one request of the guest.
func (r *run) http(ctx context.Context, document []byte) any {
	began := time.Now()
	var q abi.HTTPRequest
	var answer *abi.HTTPResponse
	why := decode(document, &q)
	if why == nil {
		answer, why = r.exchange(ctx, &q)
	}
	took := time.Since(began)
	r.askTime += took
	if why != nil {
		answer = &abi.HTTPResponse{Error: r.masked(why)}
	}
	answer.DurationMS = millis(took)
	return answer
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// within bounds a call by what the guest asks for.
func within(ctx context.Context, ms int64) (context.Context, context.CancelFunc) {
	if ms <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(min(ms, int64(24*time.Hour/time.Millisecond)))*time.Millisecond)
}

func (r *run) exchange(ctx context.Context, q *abi.HTTPRequest) (*abi.HTTPResponse, *abi.CallError) {
	ctx, cancel := within(ctx, q.TimeoutMS)
	defer cancel()
	carries, why := r.load(q)
	if why != nil {
		return nil, why
	}
	request, why := newRequest(ctx, q)
	if why != nil {
		return nil, why
	}
	if why := r.allow(request); why != nil {
		return nil, why
	}
	began := time.Now()
	client := http.Client{Transport: r.client.transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		switch {
		case q.NoRedirect:
			return http.ErrUseLastResponse
		case len(via) > maxRedirects:
			return problem(abi.CodeRedirects, "more than %d redirects", maxRedirects)
		}
		if why := r.allow(next); why != nil {
			return why
		}
		if why := carries.follow(next, via[0]); why != nil {
			return why
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		why := explain(err)
		r.note("http", fmt.Sprintf("%s %s: %s", request.Method, request.URL.Redacted(), why), began, why.Code != abi.CodeDenied, "")
		return nil, why
	}
	defer response.Body.Close()
	answer, why := r.read(response)
	grant, _ := r.grantFor(response.Request.URL)
	if why != nil {
		r.note("http", fmt.Sprintf("%s %s: %s", request.Method, request.URL.Redacted(), why), began, true, grant)
		return nil, why
	}
	r.note("http", fmt.Sprintf("%s %s: %d, %d bytes", request.Method, request.URL.Redacted(), answer.Status, len(answer.Bytes())), began, true, grant)
	return answer, nil
}

// newRequest checks what the guest asks for.
func newRequest(ctx context.Context, q *abi.HTTPRequest) (*http.Request, *abi.CallError) {
	method := q.Method
	if method == "" {
		method = http.MethodGet
	}
	if !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}, method) {
		return nil, problem(abi.CodeInvalid, "the method %s is not one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS", clean(method, 40, false))
	}
	if q.Body != "" && len(q.BodyBase64) > 0 {
		return nil, problem(abi.CodeInvalid, "body and body_base64 exclude each other")
	}
	u, err := url.Parse(q.URL)
	if err != nil || u.Hostname() == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, problem(abi.CodeInvalid, "%s is not an http or https URL", clean(q.URL, 200, false))
	}
	if u.User != nil {
		return nil, problem(abi.CodeInvalid, "the URL holds a user; send an Authorization header instead")
	}
	body := q.BodyBase64
	if q.Body != "" {
		body = []byte(q.Body)
	}
	request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, problem(abi.CodeInvalid, "%s", clean(err.Error(), 200, false))
	}
	request.Header.Set("User-Agent", "tocsin-module")
	for name, value := range q.Headers {
		if reserved(name) { // net/http refuses names and values that are malformed
			return nil, problem(abi.CodeInvalid, "the header %s cannot be set", clean(name, 80, false))
		}
		request.Header.Set(name, value)
	}
	return request, nil
}

// reserved names headers that are the host's to set: with them a request could
// be for another site than the one that was granted, or be two requests.
func reserved(name string) bool {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Host", "Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Te", "Trailer", "Keep-Alive", "Expect":
		return true
	}
	return strings.HasPrefix(strings.ToLower(name), "proxy-")
}

// grantFor finds the pattern that allows u.
func (r *run) grantFor(u *url.URL) (text string, ok bool) { return find(r.rights.http, target(u)) }

// allow counts a request, or the hop of a redirect, and holds it to the grant.
func (r *run) allow(request *http.Request) *abi.CallError {
	why := r.decide(request)
	if why != nil {
		r.note("http", request.Method+" "+request.URL.Redacted()+": "+why.Message, time.Now(), false, "")
	}
	return why
}

func (r *run) decide(request *http.Request) *abi.CallError {
	if r.httpCalls >= r.limits.HTTPCalls {
		return problem(abi.CodeQuota, "the limit of %d http calls is used up", r.limits.HTTPCalls)
	}
	r.httpCalls++
	if request.URL.User != nil {
		return problem(abi.CodeDenied, "the redirect holds a user")
	}
	if _, ok := r.grantFor(request.URL); !ok || !r.open {
		return problem(abi.CodeDenied, "%s://%s is not granted; granted is %s", request.URL.Scheme, clean(request.URL.Host, 200, false), r.has(texts(r.rights.http)))
	}
	return nil
}

// read takes the response, at most as much as the limit allows.
func (r *run) read(response *http.Response) (*abi.HTTPResponse, *abi.CallError) {
	body, err := io.ReadAll(io.LimitReader(response.Body, r.limits.HTTPResponse+1))
	if err != nil {
		return nil, explain(err)
	}
	if int64(len(body)) > r.limits.HTTPResponse {
		return nil, problem(abi.CodeTooLarge, "the response is over the limit of %s", size(r.limits.HTTPResponse))
	}
	answer := &abi.HTTPResponse{Status: response.StatusCode, URL: r.hide(response.Request.URL.String()), Headers: map[string]string{}}
	for name, values := range response.Header {
		answer.Headers[strings.ToLower(name)] = r.hide(strings.Join(values, ", "))
	}
	body = r.hideBytes(body)
	if utf8.Valid(body) {
		answer.Body = string(body)
	} else {
		answer.BodyBase64 = body
	}
	return answer, nil
}

// explain finds the code for what went wrong on the way.
func explain(err error) *abi.CallError {
	text := err.Error()
	if u, ok := errors.AsType[*url.Error](err); ok {
		text = u.Err.Error()
	}
	text = clean(text, maxSummary, false)
	if own, ok := errors.AsType[*abi.CallError](err); ok {
		return own
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return problem(abi.CodeTimeout, "no answer in time")
	}
	if _, ok := errors.AsType[*dial.Refused](err); ok {
		return problem(abi.CodeDenied, "%s", text)
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return problem(abi.CodeDNS, "%s", text)
	}
	if handshake(err) {
		return problem(abi.CodeTLS, "%s", text)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return problem(abi.CodeConnect, "%s", text)
	}
	return problem(abi.CodeProtocol, "%s", text)
}

// handshake reports whether err is about TLS.
func handshake(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	return certificate || alert || record || strings.Contains(err.Error(), "tls: ")
}
