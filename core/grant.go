package core

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Pattern is one entry of a Grant that names hosts. The zero value of Scheme
// or Port means that entries of its kind have none.
type Pattern struct {
	Text   string // as it was written
	Scheme string // http, https or empty
	Host   string // "*", "*.example.org" or a host in lower case
	Port   string // "*", a number or empty
}

// ParseHTTPPattern reads an entry of Grant.HTTP: scheme://host:port. Without a
// port it is that of the scheme.
func ParseHTTPPattern(text string) (Pattern, error) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return Pattern{}, fmt.Errorf("%q must begin with http:// or https://", text)
	}
	return parsePattern(text, scheme, rest, PortOf(scheme), "scheme://host:port")
}

// ParseTCPPattern reads an entry of Grant.TCP: host:port.
func ParseTCPPattern(text string) (Pattern, error) {
	if strings.Contains(text, "://") {
		return Pattern{}, fmt.Errorf("%q must be host:port, without a scheme", text)
	}
	p, err := parsePattern(text, "", text, "", "host:port")
	if err == nil && p.Port == "" {
		err = fmt.Errorf("%q names no port; write host:port, or host:* for any", text)
	}
	return p, err
}

// ParseDNSPattern reads an entry of Grant.DNS: a name, which may begin with
// "*." or be "*".
func ParseDNSPattern(text string) (Pattern, error) {
	p, err := parsePattern(text, "", text, "", "a name")
	if err == nil && (p.Port != "" || strings.Contains(p.Host, ":")) {
		err = fmt.Errorf("%q must be a name, without a port", text)
	}
	return p, err
}

func parsePattern(text, scheme, rest, port, form string) (Pattern, error) {
	wrong := fmt.Errorf("%q must be %s; the host may begin with *. and has no path", text, form)
	host := rest
	if i := strings.LastIndexByte(rest, ':'); i > strings.LastIndexByte(rest, ']') {
		host, port = rest[:i], rest[i+1:]
		if n, err := strconv.ParseUint(port, 10, 16); port != "*" && (err != nil || n == 0) {
			return Pattern{}, fmt.Errorf("%q has the port %q; a port is 1 to 65535, or * for any", text, port)
		}
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if _, err := netip.ParseAddr(inner); !ok || err != nil {
			return Pattern{}, wrong
		}
		return Pattern{text, scheme, CanonicalHost(inner), port}, nil
	}
	host = CanonicalHost(host)
	name := host
	if suffix, ok := strings.CutPrefix(host, "*"); ok && suffix != "" {
		if name, ok = strings.CutPrefix(suffix, "."); !ok || name == "" {
			return Pattern{}, wrong
		}
	} else if ok {
		name = "any"
	}
	if name == "" || len(host) > 253 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("*/?#@\\[]:", r) }) {
		return Pattern{}, wrong
	}
	return Pattern{text, scheme, host, port}, nil
}

// PortOf is the port of a scheme.
func PortOf(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// CanonicalHost writes a host in the one way in which hosts are compared.
func CanonicalHost(host string) string {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return host
}

// Covers reports whether whatever q matches p matches too.
func (p Pattern) Covers(q Pattern) bool {
	if p.Scheme != q.Scheme || p.Port != "*" && p.Port != q.Port {
		return false
	}
	if suffix, ok := strings.CutPrefix(p.Host, "*"); ok && suffix != "" {
		return strings.HasSuffix(q.Host, suffix) && len(q.Host) > len(suffix)
	}
	return p.Host == "*" || p.Host == q.Host
}

// Patterns reads the entries of a Grant.
func Patterns(texts []string, parse func(string) (Pattern, error)) ([]Pattern, error) {
	out := make([]Pattern, len(texts))
	for i, text := range texts {
		p, err := parse(text)
		if err != nil {
			return nil, err
		}
		out[i] = p
	}
	return out, nil
}

// maxGranted is the most entries of one kind in a Grant.
const maxGranted = 100

// reach is the kinds of entries that name hosts.
func (g Grant) reach() []struct {
	path  string
	texts []string
	parse func(string) (Pattern, error)
} {
	return []struct {
		path  string
		texts []string
		parse func(string) (Pattern, error)
	}{{"http", g.HTTP, ParseHTTPPattern}, {"tcp", g.TCP, ParseTCPPattern}, {"dns", g.DNS, ParseDNSPattern}}
}

// Check reports what of g cannot be read, or is over what can be granted.
func (g Grant) Check() error {
	for _, k := range g.reach() {
		if len(k.texts) > maxGranted {
			return fmt.Errorf("%s: there are %d patterns, the limit is %d", k.path, len(k.texts), maxGranted)
		}
		if _, err := Patterns(k.texts, k.parse); err != nil {
			return fmt.Errorf("%s: %w", k.path, err)
		}
	}
	if g.KV != "" && g.KV != KVAssignment && g.KV != KVModule {
		return fmt.Errorf("kv is %q; it must be %s or %s", g.KV, KVAssignment, KVModule)
	}
	for path, names := range map[string][]string{"secrets": g.Secrets, "reveal": g.Reveal} {
		if len(names) > maxGranted {
			return fmt.Errorf("%s: there are %d names, the limit is %d", path, len(names), maxGranted)
		}
		for _, name := range names {
			if err := CheckName(name); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	for _, name := range g.Reveal {
		if !slices.Contains(g.Secrets, name) {
			return fmt.Errorf("reveal: %s is not among secrets; name it there too", name)
		}
	}
	return g.Limits.check()
}

// Beyond reports what g reaches that wants does not ask for. An entry may be
// narrower than what is wanted: one host of "https://*.example.org", one port
// of "http://*:*".
func (g Grant) Beyond(wants Grant) Problems {
	var out Problems
	bad := func(path, format string, args ...any) {
		out = append(out, Problem{Path: path, Code: "grant", Message: fmt.Sprintf(format, args...), Fix: "grant at most what the module wants"})
	}
	for i, k := range g.reach() {
		wanted := wants.reach()[i]
		for j, text := range k.texts {
			p, err := k.parse(text)
			if err != nil {
				bad(fmt.Sprintf("%s[%d]", k.path, j), "%v", err)
				continue
			}
			if !slices.ContainsFunc(wanted.texts, func(want string) bool { w, err := k.parse(want); return err == nil && w.Covers(p) }) {
				bad(fmt.Sprintf("%s[%d]", k.path, j), "the module does not want %s; it wants %s", text, listed(wanted.texts))
			}
		}
	}
	if g.Private && !wants.Private {
		bad("private", "the module does not want private addresses")
	}
	if g.KV != "" && g.KV != wants.KV {
		bad("kv", "the module does not want to keep values per %s; it wants %s", g.KV, listed(one(wants.KV)))
	}
	for _, k := range []struct {
		path          string
		given, wanted []string
	}{{"secrets", g.Secrets, wants.Secrets}, {"reveal", g.Reveal, wants.Reveal}} {
		for j, name := range k.given {
			if !slices.Contains(k.wanted, name) {
				bad(fmt.Sprintf("%s[%d]", k.path, j), "the module does not want the secret %s; it wants %s", name, listed(k.wanted))
			}
		}
	}
	return out
}

func one(word string) []string {
	if word == "" {
		return nil
	}
	return []string{word}
}

func listed(texts []string) string {
	if len(texts) == 0 {
		return "nothing"
	}
	return strings.Join(texts, ", ")
}

// DefaultLimits are what a zero field of Limits means.
func DefaultLimits() Limits {
	return Limits{
		Memory: 16 << 20, Fuel: 1_000_000_000, Output: 256 << 10, Logs: 64 << 10, HTTPCalls: 20, HTTPResponse: 1 << 20,
		TCPCalls: 10, TCPBytes: 1 << 20, DNSCalls: 20, KVBytes: 64 << 10,
	}
}

// MaxLimits are the most that a Grant can name.
func MaxLimits() Limits {
	return Limits{
		Memory: 256 << 20, Fuel: 100_000_000_000, Output: 4 << 20, Logs: 1 << 20, HTTPCalls: 200, HTTPResponse: 16 << 20,
		TCPCalls: 200, TCPBytes: 16 << 20, DNSCalls: 200, KVBytes: 4 << 20,
	}
}

// MaxKVCalls is how many calls about kept values one run can make. No grant
// moves it.
const MaxKVCalls = 200

// NamedLimit is one field of Limits.
type NamedLimit struct {
	Name  string // as in JSON
	Value int64
}

// Named lists the fields, always in the same order.
func (l Limits) Named() []NamedLimit {
	return []NamedLimit{
		{"memory_bytes", l.Memory},
		{"fuel", l.Fuel},
		{"output_bytes", l.Output},
		{"log_bytes", l.Logs},
		{"http_calls", int64(l.HTTPCalls)},
		{"http_response_bytes", l.HTTPResponse},
		{"tcp_calls", int64(l.TCPCalls)},
		{"tcp_bytes", l.TCPBytes},
		{"dns_calls", int64(l.DNSCalls)},
		{"kv_bytes", l.KVBytes},
	}
}

// Filled is l with the defaults in place of zero.
func (l Limits) Filled() Limits {
	d := DefaultLimits()
	for _, f := range []struct {
		field *int64
		other int64
	}{
		{&l.Memory, d.Memory},
		{&l.Fuel, d.Fuel},
		{&l.Output, d.Output},
		{&l.Logs, d.Logs},
		{&l.HTTPResponse, d.HTTPResponse},
		{&l.TCPBytes, d.TCPBytes},
		{&l.KVBytes, d.KVBytes},
	} {
		if *f.field == 0 {
			*f.field = f.other
		}
	}
	for _, f := range []struct {
		field *int
		other int
	}{{&l.HTTPCalls, d.HTTPCalls}, {&l.TCPCalls, d.TCPCalls}, {&l.DNSCalls, d.DNSCalls}} {
		if *f.field == 0 {
			*f.field = f.other
		}
	}
	return l
}

// check reports the first limit that is negative or over its maximum.
func (l Limits) check() error {
	top := MaxLimits().Named()
	for i, n := range l.Named() {
		if n.Value < 0 {
			return fmt.Errorf("the limit %s is negative", n.Name)
		}
		if n.Value > top[i].Value {
			return fmt.Errorf("the limit %s is %d, the most is %d", n.Name, n.Value, top[i].Value)
		}
	}
	return nil
}

// Beyond reports the limits that are higher than those that are wanted, or
// than the default where that is higher.
func (l Limits) Beyond(wants Limits) Problems {
	var out Problems
	wanted, free := wants.Named(), DefaultLimits().Named()
	for i, n := range l.Named() {
		if most := max(wanted[i].Value, free[i].Value); n.Value > most {
			out = append(out, Problem{
				Path: "limits." + n.Name, Code: "grant", Message: fmt.Sprintf("%d is more than the %d that the module wants", n.Value, most),
				Fix: "grant at most what the module wants",
			})
		}
	}
	return out
}

// CheckGrant reports why a grant is not valid for a module with that manifest:
// something in it cannot be read, is over its maximum, or is not wanted. Nil
// means that it can be granted.
func CheckGrant(m Manifest, g Grant) error {
	if err := g.Check(); err != nil {
		return fmt.Errorf("grant %w", err)
	}
	if err := m.Wants.Check(); err != nil {
		return fmt.Errorf("the module wants %w", err)
	}
	if bad := g.Beyond(m.Wants); len(bad) > 0 {
		return errors.New("grant " + bad[0].Path + ": " + bad[0].Message)
	}
	return nil
}

// SecretRef reports whether a value of a configuration is a reference to a
// secret, the map {secret: name}, and its name.
func SecretRef(v any) (name string, ok bool) {
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return "", false
	}
	name, ok = m["secret"].(string)
	return name, ok
}
