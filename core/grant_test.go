package core_test

import (
	"testing"

	"github.com/tocsin-io/tocsin/core"
)

// TestGrantBeyond narrows what a module wants, and tries to widen it.
func TestGrantBeyond(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want, granted string
		ok            bool
	}{
		{"http://*:*", "http://*:*", true},
		{"http://*:*", "http://127.0.0.1:8080", true},
		{"http://*:*", "http://queue.example.com", true},
		{"http://*:*", "http://*.example.com:*", true},
		{"http://*:*", "http://[::1]:8080", true},
		{"http://*:*", "https://queue.example.com:443", false},
		{"http://*:*", "http://", false},
		{"http://*:*", "http://a/b:80", false},
		{"http://*:*", "http://user@a:80", false},
		{"http://*:*", "http://a:0", false},
		{"http://*:*", "http://[nonsense]:80", false},
		{"http://*:*", "a:80", false},
		{"https://*", "https://a.example.com:443", true},
		{"https://*", "https://a.example.com:8443", false},
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://A.Example.com.:443", true},
		{"https://*.example.com", "https://*.eu.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://badexample.com", false},
		{"https://*.example.com", "https://*", false},
		{"https://*.example.com:443", "https://a.example.com:*", false},
		{"https://api.example.com", "https://api.example.com:443", true},
		{"https://api.example.com:443", "https://evil.example:443", false},
		{"nonsense", "nonsense", false},
		{"nonsense", "http://a", false},
	} {
		granted, wants := core.Grant{HTTP: []string{tt.granted}}, core.Grant{HTTP: []string{tt.want}}
		if got := len(granted.Beyond(wants)) == 0; got != tt.ok {
			t.Errorf("%s covers %s: got %t, want %t", tt.want, tt.granted, got, tt.ok)
		}
	}
}
