package core_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core"
)

func TestGrantDiff(t *testing.T) {
	limits := func(memory int64, calls int) core.Limits { return core.Limits{Memory: memory, HTTPCalls: calls} }
	for name, c := range map[string]struct {
		before, now core.Grant
		want        []string // a line each, with ! before what is wider
	}{
		"nothing": {},
		"the same, written otherwise": {
			core.Grant{HTTP: []string{"https://a.example:443"}}, core.Grant{HTTP: []string{"https://A.example."}, Limits: limits(16<<20, 20)}, nil,
		},
		"hosts": {
			core.Grant{HTTP: []string{"https://a.example", "https://x.b.example", "https://*.c.example", "https://d.example"}},
			core.Grant{HTTP: []string{"https://a.example", "https://*.b.example", "https://y.c.example", "https://e.example"}},
			[]string{
				"!~ http https://*.b.example, before https://x.b.example", "~ http https://y.c.example, before https://*.c.example",
				"!+ http https://e.example", "- http https://d.example",
			},
		},
		"a host that a pattern contains which stays": {
			core.Grant{HTTP: []string{"https://*.a.example"}}, core.Grant{HTTP: []string{"https://*.a.example", "https://x.a.example"}}, nil,
		},
		"ports": {
			core.Grant{TCP: []string{"a.example:1", "b.example:*"}},
			core.Grant{TCP: []string{"a.example:*", "b.example:2"}},
			[]string{"!~ tcp a.example:*, before a.example:1", "~ tcp b.example:2, before b.example:*"},
		},
		"another scheme or port": {
			core.Grant{HTTP: []string{"https://a.example"}},
			core.Grant{HTTP: []string{"http://a.example", "https://a.example:8443"}},
			[]string{"!+ http http://a.example", "!+ http https://a.example:8443", "- http https://a.example"},
		},
		"names": {
			core.Grant{DNS: []string{"*.a.example"}}, core.Grant{DNS: []string{"*"}}, []string{"!~ dns *, before *.a.example"},
		},
		"secrets": {
			core.Grant{Secrets: []string{"one", "two"}, Reveal: []string{"two"}},
			core.Grant{Secrets: []string{"two", "three"}, Reveal: []string{"three"}},
			[]string{"!+ secrets three", "- secrets one", "!+ reveal three", "- reveal two"},
		},
		"private addresses":         {core.Grant{}, core.Grant{Private: true}, []string{"!+ private yes"}},
		"private addresses no more": {core.Grant{Private: true}, core.Grant{}, []string{"- private yes"}},
		"kept values":               {core.Grant{}, core.Grant{KV: core.KVAssignment}, []string{"!+ kv assignment"}},
		"kept values of all":        {core.Grant{KV: core.KVAssignment}, core.Grant{KV: core.KVModule}, []string{"!~ kv module, before assignment"}},
		"kept values of one":        {core.Grant{KV: core.KVModule}, core.Grant{KV: core.KVAssignment}, []string{"~ kv assignment, before module"}},
		"limits": {
			core.Grant{Limits: limits(64<<20, 0)},
			core.Grant{Limits: limits(0, 50)},
			[]string{"~ limits.memory_bytes 16 MiB, before 64 MiB", "!~ limits.http_calls 50, before 20"},
		},
		"what cannot be read": {core.Grant{HTTP: []string{"ftp://a"}}, core.Grant{HTTP: []string{"ftp://b"}}, []string{"!+ http ftp://b", "- http ftp://a"}},
	} {
		var got []string
		for _, c := range c.now.Diff(c.before) {
			got = append(got, map[bool]string{true: "!"}[c.Wider]+c.String())
			if !c.Wider && c.Danger != "" {
				t.Errorf("%s: %s is not wider, and dangerous: %s", name, c, c.Danger)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: Diff = %q, want %q", name, got, c.want)
		}
		if again := c.now.Diff(c.now); len(again) != 0 {
			t.Errorf("%s: Diff with itself = %v", name, again)
		}
	}
}

// What is new is said to be dangerous in concrete words, or is not.
func TestGrantDanger(t *testing.T) {
	for text, c := range map[string]core.Grant{
		"":                                     {HTTP: []string{"https://a.example"}},
		"every host under a.example":           {HTTP: []string{"https://*.a.example"}},
		"every host on the internet":           {HTTP: []string{"https://*"}},
		"is not encrypted":                     {HTTP: []string{"http://a.example"}},
		"On every port.":                       {HTTP: []string{"https://a.example:*"}},
		"the machine that Tocsin runs on":      {HTTP: []string{"https://127.0.0.1"}},
		"machine that Tocsin runs on":          {TCP: []string{"[::1]:80"}},
		"a host of an inner network":           {HTTP: []string{"https://10.1.2.3"}},
		"host of an inner network":             {HTTP: []string{"https://db.corp"}},
		"speak any protocol there":             {TCP: []string{"a.example:25"}},
		"every name under a.example":           {DNS: []string{"*.a.example"}},
		"every name. A name that is looked up": {DNS: []string{"*"}},
		"only the inner network can reach":     {Private: true},
		"it can read for every other":          {KV: core.KVModule},
		"the value of t to the hosts that it":  {Secrets: []string{"t"}},
		"reads the value of t":                 {Secrets: []string{"t"}, Reveal: []string{"t"}},
		"the value of t to https://a.example, https://b.example, c.example:1 and 1 more": {
			HTTP: []string{"https://a.example", "https://b.example"}, TCP: []string{"c.example:1", "d.example:1"}, Secrets: []string{"t"},
		},
	} {
		var all []string
		for _, c := range c.Diff(core.Grant{}) {
			all = append(all, c.Danger)
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, text) || text == "" && got != "" {
			t.Errorf("the danger of %+v is %q, want %q", c, got, text)
		}
	}
}
