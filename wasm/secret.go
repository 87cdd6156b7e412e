package wasm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// hidden stands for a value that a guest must not read.
const hidden = "••••••"

// minHidden is the shortest value that is looked for in answers: a shorter one
// could be any word.
const minHidden = 4

// handlePrefix begins every handle.
const handlePrefix = "tocsin-secret-"

var handlePattern = regexp.MustCompile(handlePrefix + "[0-9a-f]{32}")

// masked is a text that must not be shown.
type masked struct{ text string }

// handleOf is the handle of a secret in the run with a seed.
func handleOf(seed uint64, name string) string {
	sum := sha256.Sum256(append(binary.LittleEndian.AppendUint64([]byte("tocsin handle "), seed), name...))
	return handlePrefix + hex.EncodeToString(sum[:16])
}

// hand gives the guest a handle, if the secret is granted.
func (r *run) hand(name string) (string, *abi.CallError) {
	if !slices.Contains(r.rights.secrets, name) {
		return "", problem(abi.CodeDenied, "the secret %s is not granted; granted is %s", clean(name, 128, false), listed(r.rights.secrets))
	}
	if r.handles == nil {
		r.handles = map[string]string{}
	}
	handle := handleOf(r.seed, name)
	r.handles[handle] = name
	return handle, nil
}

func (r *run) secret(_ context.Context, document []byte) any {
	return r.secretly("secret", document, func(name string) (*abi.SecretResponse, *abi.CallError) {
		handle, why := r.hand(name)
		if why != nil {
			return nil, why
		}
		if _, err := r.host.o.Secret(name); err != nil {
			return nil, problem(abi.CodeNotFound, "%s", clean(err.Error(), maxSummary, false))
		}
		return &abi.SecretResponse{Handle: handle}, nil
	})
}

func (r *run) revealed(_ context.Context, document []byte) any {
	return r.secretly("reveal", document, func(name string) (*abi.SecretResponse, *abi.CallError) {
		if !slices.Contains(r.rights.reveal, name) {
			return nil, problem(abi.CodeDenied, "the secret %s may not be revealed; granted is %s", clean(name, 128, false), listed(r.rights.reveal))
		}
		value, err := r.host.o.Secret(name)
		if err != nil {
			return nil, problem(abi.CodeNotFound, "%s", clean(err.Error(), maxSummary, false))
		}
		r.told = append(r.told, value)
		return &abi.SecretResponse{Value: value}, nil
	})
}

func (r *run) secretly(call string, document []byte, do func(name string) (*abi.SecretResponse, *abi.CallError)) any {
	began := time.Now()
	var q abi.SecretRequest
	why := decode(document, &q)
	if why == nil && !r.open {
		why = problem(abi.CodeDenied, "secrets are not granted; granted is %s", r.has(""))
	}
	var answer *abi.SecretResponse
	if why == nil {
		answer, why = do(q.Name)
	}
	if why != nil {
		r.note(call, q.Name+": "+why.Error(), began, why.Code != abi.CodeDenied, "")
		return &abi.SecretResponse{Error: why}
	}
	r.note(call, q.Name, began, true, call+" "+q.Name)
	return answer
}

// reveal puts the values of secrets in the place of their handles, for what
// leaves. A handle that this run did not get stays what it is: text.
func (r *run) reveal(text []byte) (out []byte, carries bool, why *abi.CallError) {
	if len(r.handles) == 0 || !bytes.Contains(text, []byte(handlePrefix)) {
		return text, false, nil
	}
	out = handlePattern.ReplaceAllFunc(text, func(handle []byte) []byte {
		name, ok := r.handles[string(handle)]
		if !ok {
			return handle
		}
		value, err := r.host.o.Secret(name)
		if err != nil {
			why = problem(abi.CodeNotFound, "%s", clean(err.Error(), maxSummary, false))
			return nil
		}
		carries = true
		r.use(name, value)
		return []byte(value)
	})
	if why != nil {
		return nil, false, why
	}
	return out, carries, nil
}

// use notes that a value left, so that no answer shows it, unless the guest
// may read it.
func (r *run) use(name, value string) {
	if slices.Contains(r.rights.reveal, name) {
		r.told = append(r.told, value)
		return
	}
	forms := []string{
		value, strings.TrimSpace(value), url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString([]byte(value)), base64.RawURLEncoding.EncodeToString([]byte(value)),
	}
	if text, err := json.Marshal(value); err == nil {
		forms = append(forms, string(text[1:len(text)-1]))
	}
	for _, form := range forms {
		if len(form) >= minHidden && !slices.Contains(r.used, masked{form}) {
			r.used = append(r.used, masked{form})
		}
	}
	// The longest first: a value can be a part of another.
	slices.SortFunc(r.used, func(a, b masked) int { return len(b.text) - len(a.text) })
}

// hide masks the values that were sent.
func (r *run) hide(text string) string {
	for _, m := range r.used {
		text = strings.ReplaceAll(text, m.text, hidden)
	}
	return text
}

func (r *run) hideBytes(b []byte) []byte {
	for _, m := range r.used {
		b = bytes.ReplaceAll(b, []byte(m.text), []byte(hidden))
	}
	return b
}

// held is how many bytes at the end of b could be the beginning of a value
// that must not be shown.
func (r *run) held(b []byte) int {
	most := 0
	for _, m := range r.used {
		for n := min(len(m.text)-1, len(b)); n > most; n-- {
			if bytes.HasSuffix(b, []byte(m.text[:n])) {
				most = n
				break
			}
		}
	}
	return most
}

func (r *run) masked(why *abi.CallError) *abi.CallError {
	return &abi.CallError{Code: why.Code, Message: r.hide(why.Message)}
}

// cargo says what of a request carries secrets.
type cargo struct {
	headers []string
	body    bool
}

// load puts secrets into a request. They never go into a URL, which every
// server and proxy on the way writes down.
func (r *run) load(q *abi.HTTPRequest) (out cargo, why *abi.CallError) {
	if strings.Contains(q.URL, handlePrefix) {
		return out, problem(abi.CodeInvalid, "the URL holds a secret; send it in a header or in the body")
	}
	headers := make(map[string]string, len(q.Headers))
	for name, value := range q.Headers {
		filled, carries, why := r.reveal([]byte(value))
		if why != nil {
			return out, why
		}
		if carries {
			out.headers = append(out.headers, name)
		}
		headers[name] = string(filled)
	}
	q.Headers = headers
	var text, raw bool
	body, text, why := r.reveal([]byte(q.Body))
	if why == nil {
		q.Body = string(body)
		q.BodyBase64, raw, why = r.reveal(q.BodyBase64)
	}
	out.body = text || raw
	return out, why
}

// follow keeps secrets from a redirect to another site.
func (c cargo) follow(next, first *http.Request) *abi.CallError {
	if next.URL.Scheme == first.URL.Scheme && next.URL.Host == first.URL.Host {
		return nil
	}
	for _, name := range c.headers {
		next.Header.Del(name)
	}
	if c.body && next.Body != nil && next.Body != http.NoBody {
		return problem(abi.CodeDenied, "a redirect to another site would take a secret in the body there")
	}
	return nil
}

// handed is a configuration with handles in the place of references to
// secrets. Nothing is changed in place.
func (r *run) handed(v any) (any, error) {
	if name, ok := core.SecretRef(v); ok {
		handle, why := r.hand(name)
		if why != nil {
			return nil, &stop{"secret", fmt.Sprintf("its configuration uses the secret %s, and its grant does not name it under secrets: review its grant", clean(name, 128, false))}
		}
		if _, err := r.host.o.Secret(name); err != nil {
			return nil, &stop{"secret", clean(err.Error(), maxSummary, false)}
		}
		return handle, nil
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, value := range x {
			filled, err := r.handed(value)
			if err != nil {
				return nil, err
			}
			out[key] = filled
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			filled, err := r.handed(value)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	}
	return v, nil
}

// refers reports whether a configuration refers to a secret.
func refers(v any) bool {
	if _, ok := core.SecretRef(v); ok {
		return true
	}
	switch x := v.(type) {
	case map[string]any:
		for _, value := range x {
			if refers(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(x, refers)
	}
	return false
}
