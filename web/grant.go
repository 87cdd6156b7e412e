package web

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// covers reports whether a pattern that a module wants includes one that is
// granted, so that a grant can be a part of what is wanted: one host of
// "https://*.example.org", one port of "http://*:*". Patterns are
// scheme://host:port; a host may be "*" or begin with "*.", a port may be "*",
// and without one it is the port of the scheme. A text that is no pattern is
// covered only by itself.
func covers(want, granted string) bool {
	if want == granted {
		return true
	}
	w, ok := parseOrigin(want)
	if !ok {
		return false
	}
	g, ok := parseOrigin(granted)
	if !ok || w.scheme != g.scheme || w.port != "*" && w.port != g.port {
		return false
	}
	if w.host == "*" || w.host == g.host {
		return true
	}
	suffix, ok := strings.CutPrefix(w.host, "*")
	return ok && strings.HasSuffix(g.host, suffix) && len(g.host) > len(suffix)
}

// origin is a pattern of [covers].
type origin struct{ scheme, host, port string }

func parseOrigin(text string) (origin, bool) {
	scheme, rest, ok := strings.Cut(text, "://")
	ports := map[string]string{"http": "80", "https": "443"}
	if !ok || ports[scheme] == "" {
		return origin{}, false
	}
	host, port := rest, ports[scheme]
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
	}
	if n, err := strconv.ParseUint(port, 10, 16); port != "*" && (err != nil || n == 0) {
		return origin{}, false
	}
	inner, bracketed := strings.CutPrefix(host, "[")
	if bracketed {
		host, ok = strings.CutSuffix(inner, "]")
		if !ok || net.ParseIP(host) == nil {
			return origin{}, false
		}
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	name := strings.TrimPrefix(strings.TrimPrefix(host, "*"), ".")
	if host == "" || host == "*." || strings.ContainsAny(name, "*/?#@ \\[]") {
		return origin{}, false
	}
	return origin{scheme, host, port}, true
}

// grantChanges is what one grant can reach or use that another cannot, and the
// other way round.
func grantChanges(before, after core.Grant) []wire.GrantChange {
	out := []wire.GrantChange{}
	words := func(path string, before, after []string) {
		for _, w := range after {
			if !slices.Contains(before, w) {
				out = append(out, wire.GrantChange{Path: path, Change: "added", Value: w, Wider: true})
			}
		}
		for _, w := range before {
			if !slices.Contains(after, w) {
				out = append(out, wire.GrantChange{Path: path, Change: "removed", Value: w})
			}
		}
	}
	one := func(word string) []string {
		if word == "" {
			return nil
		}
		return []string{word}
	}
	private := func(g core.Grant) []string {
		if !g.Private {
			return nil
		}
		return []string{"true"}
	}
	words("http", before.HTTP, after.HTTP)
	words("tcp", before.TCP, after.TCP)
	words("dns", before.DNS, after.DNS)
	words("private", private(before), private(after))
	words("kv", one(before.KV), one(after.KV))
	words("secrets", before.Secrets, after.Secrets)
	words("reveal", before.Reveal, after.Reveal)
	return out
}
