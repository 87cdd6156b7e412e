package action

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// maxAnswer is how much of a webhook's answer is read, in bytes.
const maxAnswer = 64 << 10

// DialContext opens a connection; see [net.Dialer.DialContext].
type DialContext func(ctx context.Context, network, address string) (net.Conn, error)

// Webhook sends an HTTP request. It takes url, method (default POST), headers
// and body: text is sent as it is, anything else as JSON. The request carries
// the key of the call as Idempotency-Key. Redirects are not followed.
//
// An answer of 2xx is success. 408, 425, 429 and 5xx, and no answer at all, are
// worth another attempt; Retry-After is honoured. Any other answer is refused
// at once. Its output is {status, body, json}: body is the first 64 KiB, json
// is null unless it is JSON.
type Webhook struct{ client *http.Client }

var _ Action = (*Webhook)(nil)

// NewWebhook makes the action webhook. All connections go through dial; nil
// refuses every one.
func NewWebhook(dial DialContext) *Webhook {
	if dial == nil {
		dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("the network is closed to webhooks here")
		}
	}
	return &Webhook{client: &http.Client{
		Transport: &http.Transport{
			DialContext: dial, MaxIdleConnsPerHost: 4, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: 32 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func webhookMethods() []string { return []string{"POST", "PUT", "PATCH", "GET", "DELETE"} }

// Check implements [Action].
func (*Webhook) Check(with map[string]any) core.Problems {
	out := fields(with, []string{"body", "headers", "method", "url"}, []string{"url"})
	bad := func(path, message, fix string) {
		out = append(out, core.Problem{Path: path, Code: "webhook", Message: message, Fix: fix})
	}
	if text, ok := with["url"].(string); ok && !strings.Contains(text, "${") {
		if _, err := target(text); err != nil && text != "" {
			bad("url", err.Error(), "write for example https://example.com/hook")
		}
	} else if !ok && with["url"] != nil && !isSecret(with["url"]) {
		bad("url", "is not text", "")
	}
	if m, ok := with["method"]; ok {
		if text, isText := m.(string); !isText || !slices.Contains(webhookMethods(), text) {
			bad("method", fmt.Sprintf("%q is not a method", fmt.Sprint(m)), "there are "+strings.Join(webhookMethods(), ", "))
		}
	}
	if h, ok := with["headers"]; ok {
		headers, isMap := h.(map[string]any)
		if !isMap {
			bad("headers", "is not a map of names to texts", "")
		}
		for name := range headers {
			if reserved(name) {
				bad("headers."+name, "is set by tocsin itself", "remove it")
			}
		}
	}
	return out
}

func isSecret(v any) bool {
	m, ok := v.(map[string]any)
	return ok && len(m) == 1 && m["secret"] != nil
}

func reserved(header string) bool {
	switch http.CanonicalHeaderKey(header) {
	case "Idempotency-Key", "Host", "Content-Length", "Transfer-Encoding", "Connection":
		return true
	}
	return false
}

func target(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("does not begin with http:// or https://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	}
	return u, nil
}

// Outputs implements [Action].
func (*Webhook) Outputs() []string { return []string{"status", "body", "json"} }

// Channel implements [Action]: the host and port of the URL.
func (*Webhook) Channel(with map[string]any) string {
	text, _ := with["url"].(string)
	u, err := target(text)
	if err != nil {
		return ""
	}
	return u.Host
}

// Do implements [Action].
func (w *Webhook) Do(ctx context.Context, call Call) (map[string]any, error) {
	req, err := request(ctx, call)
	if err != nil {
		return nil, &RefusedError{Reason: err.Error()}
	}
	res, err := w.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("send webhook: %w", bare(err))
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the answer of the webhook (%d): %w", res.StatusCode, err)
	}
	return answer(res, body)
}

// bare is err without the URL, which may hold a secret.
func bare(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}

func request(ctx context.Context, call Call) (*http.Request, error) {
	text, _ := call.With["url"].(string)
	u, err := target(text)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	body, kind, err := payload(call.With["body"])
	if err != nil {
		return nil, err
	}
	method, _ := call.With["method"].(string)
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make the request: %w", bare(err))
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	headers, _ := call.With["headers"].(map[string]any)
	for name, value := range headers {
		if !reserved(name) {
			req.Header.Set(name, fmt.Sprint(value))
		}
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "tocsin")
	}
	req.Header.Set("Idempotency-Key", call.Key)
	return req, nil
}

func payload(body any) (text []byte, kind string, err error) {
	switch b := body.(type) {
	case nil:
		return nil, "", nil
	case string:
		return []byte(b), "text/plain; charset=utf-8", nil
	}
	text, err = json.Marshal(body)
	if err != nil {
		return nil, "", fmt.Errorf("body: %w", err)
	}
	return text, "application/json", nil
}

func answer(res *http.Response, body []byte) (map[string]any, error) {
	out := map[string]any{"status": res.StatusCode, "body": strings.ToValidUTF8(string(body), "\uFFFD"), "json": nil}
	var parsed any
	if json.Unmarshal(body, &parsed) == nil {
		out["json"] = parsed
	}
	switch code := res.StatusCode; {
	case code >= 200 && code < 300:
		return out, nil
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		reason := fmt.Sprintf("the webhook answered %d %s", code, http.StatusText(code))
		if after, ok := retryAfter(res); ok {
			return nil, &LaterError{Reason: reason, After: after}
		}
		return nil, errors.New(reason)
	case code >= 300 && code < 400:
		return nil, &RefusedError{Reason: fmt.Sprintf("the webhook answered %d with a redirect, which is not followed", code)}
	}
	return nil, &RefusedError{Reason: fmt.Sprintf("the webhook answered %d %s", res.StatusCode, http.StatusText(res.StatusCode))}
}

// retryAfter reads the header of that name: seconds, or an instant as seen
// from the answer's own Date.
func retryAfter(res *http.Response) (time.Duration, bool) {
	text := res.Header.Get("Retry-After")
	if n, err := strconv.Atoi(text); err == nil && n >= 0 {
		return time.Duration(min(n, 86_400)) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	date, err := http.ParseTime(res.Header.Get("Date"))
	if err != nil {
		return 0, false
	}
	return max(0, min(at.Sub(date), 24*time.Hour)), true
}
