package core

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// GrantChange is one difference between two grants.
type GrantChange struct {
	Path   string `json:"path" doc:"http, tcp, dns, private, kv, secrets, reveal, limits.fuel, ..."`
	Change string `json:"change" enum:"added,removed,widened,narrowed" doc:"widened: it contains what was there and more; of a limit: it is higher"`
	Value  string `json:"value" doc:"what is added, removed, wider or narrower; of a limit the new value"`
	Before string `json:"before,omitempty" doc:"of what is wider or narrower: what it was"`
	Wider  bool   `json:"wider" doc:"it can reach or use more than before"`
	Danger string `json:"danger,omitempty" doc:"what could go wrong with it, when it is wider"`
}

// The values of GrantChange.Change.
const (
	GrantAdded    = "added"
	GrantRemoved  = "removed"
	GrantWidened  = "widened"
	GrantNarrowed = "narrowed"
)

// String is the change in one line: "+ http https://a.example".
func (c GrantChange) String() string {
	switch c.Change {
	case GrantAdded:
		return "+ " + c.Path + " " + c.Value
	case GrantRemoved:
		return "- " + c.Path + " " + c.Value
	}
	return fmt.Sprintf("~ %s %s, before %s", c.Path, c.Value, c.Before)
}

// Diff is what g can reach or use that before cannot, and the other way round,
// in the order in which it is reviewed. It goes by what is reached: a host
// under a pattern that was there is narrower, not new. Both grants can be
// read, see [Grant.Check]; an entry that cannot be is compared as text.
func (g Grant) Diff(before Grant) []GrantChange {
	out := []GrantChange{}
	for i, k := range g.reach() {
		for _, c := range diffPatterns(k.path, entries(k.texts, k.parse), entries(before.reach()[i].texts, k.parse)) {
			if c.Wider {
				c.Danger = reachDanger(k.path, c.Value)
			}
			out = append(out, c)
		}
	}
	yes := map[bool]string{true: "yes"}
	if g.Private != before.Private {
		out = append(out, diffWord("private", yes[g.Private], yes[before.Private], privateDanger))
	}
	out = append(out, diffNames("secrets", g.Secrets, before.Secrets, func(name string) string { return g.secretDanger(name) })...)
	out = append(out, diffNames("reveal", g.Reveal, before.Reveal, func(name string) string {
		return "Its code reads the value of " + name + " and can put it into results, logs and requests."
	})...)
	if g.KV != before.KV {
		c := diffWord("kv", g.KV, before.KV, "")
		if g.KV == KVModule {
			c.Danger = "What it keeps for one system it can read for every other."
		}
		out = append(out, c)
	}
	return append(out, g.Limits.diff(before.Limits)...)
}

// entries reads what names hosts; what cannot be read covers itself only.
func entries(texts []string, parse func(string) (Pattern, error)) []Pattern {
	out := make([]Pattern, len(texts))
	for i, text := range texts {
		p, err := parse(text)
		if err != nil {
			p = Pattern{Text: text, Host: text}
		}
		out[i] = p
	}
	return out
}

func diffPatterns(path string, now, before []Pattern) []GrantChange {
	var out []GrantChange
	for _, p := range now {
		covers := func(b Pattern) bool { return b.Covers(p) }
		at := slices.IndexFunc(before, covers)
		switch {
		case at < 0:
			c := GrantChange{Path: path, Change: GrantAdded, Value: p.Text, Wider: true}
			if had := covered(p, before); len(had) > 0 {
				c.Change, c.Before = GrantWidened, strings.Join(had, ", ")
			}
			out = append(out, c)
		case !p.Covers(before[at]) && !slices.ContainsFunc(now, func(n Pattern) bool { return n.Covers(before[at]) }):
			out = append(out, GrantChange{Path: path, Change: GrantNarrowed, Value: p.Text, Before: before[at].Text})
		}
	}
	for _, b := range before {
		kept := slices.ContainsFunc(now, func(n Pattern) bool { return n.Covers(b) || b.Covers(n) })
		if !kept {
			out = append(out, GrantChange{Path: path, Change: GrantRemoved, Value: b.Text})
		}
	}
	return out
}

// covered are the patterns that p contains.
func covered(p Pattern, all []Pattern) []string {
	var out []string
	for _, b := range all {
		if p.Covers(b) {
			out = append(out, b.Text)
		}
	}
	return out
}

func diffNames(path string, now, before []string, danger func(name string) string) []GrantChange {
	var out []GrantChange
	for _, name := range now {
		if !slices.Contains(before, name) {
			out = append(out, GrantChange{Path: path, Change: GrantAdded, Value: name, Wider: true, Danger: danger(name)})
		}
	}
	for _, name := range before {
		if !slices.Contains(now, name) {
			out = append(out, GrantChange{Path: path, Change: GrantRemoved, Value: name})
		}
	}
	return out
}

// diffWord is the change of what is one word or nothing.
func diffWord(path, now, before, danger string) GrantChange {
	switch {
	case before == "":
		return GrantChange{Path: path, Change: GrantAdded, Value: now, Wider: true, Danger: danger}
	case now == "":
		return GrantChange{Path: path, Change: GrantRemoved, Value: before}
	case now == KVModule:
		return GrantChange{Path: path, Change: GrantWidened, Value: now, Before: before, Wider: true, Danger: danger}
	}
	return GrantChange{Path: path, Change: GrantNarrowed, Value: now, Before: before}
}

func (l Limits) diff(before Limits) []GrantChange {
	var out []GrantChange
	had := before.Filled().Named()
	for i, n := range l.Filled().Named() {
		if n.Value == had[i].Value {
			continue
		}
		c := GrantChange{Path: "limits." + n.Name, Change: GrantNarrowed, Value: n.String(), Before: had[i].String()}
		if n.Value > had[i].Value {
			c.Change, c.Wider = GrantWidened, true
		}
		out = append(out, c)
	}
	return out
}

// String is the value for people: "64 MiB", "20".
func (n NamedLimit) String() string {
	if strings.HasSuffix(n.Name, "_bytes") {
		for _, unit := range []struct {
			size int64
			name string
		}{{1 << 20, "MiB"}, {1 << 10, "KiB"}} {
			if n.Value >= unit.size && n.Value%unit.size == 0 {
				return fmt.Sprintf("%d %s", n.Value/unit.size, unit.name)
			}
		}
		return fmt.Sprintf("%d bytes", n.Value)
	}
	return fmt.Sprint(n.Value)
}

const privateDanger = "The hosts that it names may turn out to be loopback or private addresses (127.0.0.0/8, 10.0.0.0/8, 172.16.0.0/12, " +
	"192.168.0.0/16, fc00::/7): services that only the inner network can reach."

func (g Grant) secretDanger(name string) string {
	hosts := append(slices.Clone(g.HTTP), g.TCP...)
	to := "the hosts that it is allowed"
	if n := len(hosts); n > 3 {
		to = fmt.Sprintf("%s and %d more", strings.Join(hosts[:3], ", "), n-3)
	} else if n > 0 {
		to = strings.Join(hosts, ", ")
	}
	return "It may send the value of " + name + " to " + to + ", without reading it."
}

// reachDanger is what reaching an entry means, when it is more than one public
// host over an encrypted connection.
func reachDanger(path, text string) string {
	if path == "dns" {
		switch suffix, wild := strings.CutPrefix(text, "*"); {
		case !wild:
			return ""
		case suffix == "":
			return "It may look up every name. A name that is looked up can carry data out."
		default:
			return "It may look up every name under " + suffix[1:] + ". A name that is looked up can carry data out."
		}
	}
	parse := ParseHTTPPattern
	var said []string
	if path == "tcp" {
		parse = ParseTCPPattern
		said = append(said, "It may send any bytes and speak any protocol there.")
	}
	p, err := parse(text)
	if err != nil {
		return "It cannot be read, and reaches nothing."
	}
	said = append(said, hostDanger(p.Host)...)
	if p.Scheme == "http" {
		said = append(said, "The connection is not encrypted: others on the way can read and change it.")
	}
	if p.Port == "*" {
		said = append(said, "On every port.")
	}
	return strings.Join(said, " ")
}

func hostDanger(host string) []string {
	if host == "*" {
		return []string{"It may reach every host on the internet and send it whatever it reads."}
	}
	var said []string
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		said = append(said, "It may reach every host under "+suffix+", also ones that are added later.")
	}
	addr, err := netip.ParseAddr(host)
	switch inner := []string{".internal", ".local", ".lan", ".corp", ".home"}; {
	case host == "localhost" || err == nil && addr.Unmap().IsLoopback():
		said = append(said, "This is the machine that Tocsin runs on: services there often trust local callers.")
	case err == nil && addr.Unmap().IsPrivate(), slices.ContainsFunc(inner, func(end string) bool { return strings.HasSuffix(host, end) }):
		said = append(said, "This is a host of an inner network.")
	}
	return said
}
