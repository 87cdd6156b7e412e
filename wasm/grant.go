package wasm

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// pattern is one entry of Grant.HTTP.
type pattern struct {
	text   string
	scheme string
	host   string // "*", "*.example.org" or a host in lower case
	port   string // "*" or a number
}

// parsePattern reads scheme://host:port.
func parsePattern(text string) (pattern, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return pattern{}, fmt.Errorf("%q must begin with http:// or https://", text)
	}
	host, port := rest, portOf(scheme)
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
	}
	if port != "*" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return pattern{}, fmt.Errorf("%q has the port %q; a port is 1 to 65535, or * for any", text, port)
		}
	}
	host = canonical(strings.Trim(host, "[]"))
	name := strings.TrimPrefix(strings.TrimPrefix(host, "*"), ".")
	if host == "" || strings.ContainsAny(name, "*/?#@ \\") {
		return pattern{}, fmt.Errorf("%q must be scheme://host:port; the host may begin with *. and has no path", text)
	}
	return pattern{text: text, scheme: scheme, host: host, port: port}, nil
}

func portOf(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

func canonical(host string) string { return strings.TrimSuffix(strings.ToLower(host), ".") }

func (p pattern) matches(u *url.URL) bool {
	port := u.Port()
	if port == "" {
		port = portOf(u.Scheme)
	}
	return p.covers(pattern{scheme: u.Scheme, host: canonical(u.Hostname()), port: port})
}

// covers reports whether whatever q matches p matches too.
func (p pattern) covers(q pattern) bool {
	if p.scheme != q.scheme || p.port != "*" && p.port != q.port {
		return false
	}
	if suffix, ok := strings.CutPrefix(p.host, "*"); ok && suffix != "" {
		return strings.HasSuffix(q.host, suffix) && len(q.host) > len(suffix)
	}
	return p.host == "*" || p.host == q.host
}

func parsePatterns(texts []string) ([]pattern, error) {
	out := make([]pattern, len(texts))
	for i, text := range texts {
		p, err := parsePattern(text)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// CheckGrant reports why grant is not valid for a module with that manifest:
// a pattern that cannot be read, a limit over its maximum, or something the
// manifest does not want. Nil means that it can be granted.
func CheckGrant(m core.Manifest, grant core.Grant) error {
	granted, err := parsePatterns(grant.HTTP)
	if err != nil {
		return fmt.Errorf("grant http: %w", err)
	}
	wanted, err := parsePatterns(m.Wants.HTTP)
	if err != nil {
		return fmt.Errorf("the module wants http: %w", err)
	}
	for _, g := range granted {
		if !slices.ContainsFunc(wanted, func(w pattern) bool { return w.covers(g) }) {
			return fmt.Errorf("grant http: the module does not want %s; it wants %s", g.text, listed(m.Wants.HTTP))
		}
	}
	if grant.Private && !m.Wants.Private {
		return errors.New("grant private: the module does not want private addresses")
	}
	return checkLimits(grant.Limits, MaxLimits(), "the most")
}

func listed(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}
