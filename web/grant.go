package web

import (
	"slices"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

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
