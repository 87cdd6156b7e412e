package wasm

import (
	"net/url"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// rights are what the Grant of a module allows, ready to be asked. The zero
// value allows nothing.
type rights struct {
	http, tcp, dns  []core.Pattern
	kv              string // the scope of kept values, empty: none
	secrets, reveal []string
}

// rightsOf reads a Grant, which was checked.
func rightsOf(g core.Grant) (out rights, err error) {
	out = rights{kv: g.KV, secrets: g.Secrets, reveal: g.Reveal}
	if out.http, err = core.Patterns(g.HTTP, core.ParseHTTPPattern); err != nil {
		return rights{}, err
	}
	if out.tcp, err = core.Patterns(g.TCP, core.ParseTCPPattern); err != nil {
		return rights{}, err
	}
	out.dns, err = core.Patterns(g.DNS, core.ParseDNSPattern)
	return out, err
}

// CheckGrant is [core.CheckGrant].
func CheckGrant(m core.Manifest, grant core.Grant) error { return core.CheckGrant(m, grant) }

// target is a URL as a pattern that matches nothing else.
func target(u *url.URL) core.Pattern {
	port := u.Port()
	if port == "" {
		port = core.PortOf(u.Scheme)
	}
	return core.Pattern{Scheme: u.Scheme, Host: core.CanonicalHost(u.Hostname()), Port: port}
}

// find is the text of the first pattern that covers to.
func find(patterns []core.Pattern, to core.Pattern) (text string, ok bool) {
	i := slices.IndexFunc(patterns, func(p core.Pattern) bool { return p.Covers(to) })
	if i < 0 {
		return "", false
	}
	return patterns[i].Text, true
}

func texts(patterns []core.Pattern) string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.Text
	}
	return listed(out)
}

func listed(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}
