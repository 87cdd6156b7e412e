package core

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Dump writes everything a Board knows, in an order of its own.
func (b *Board) Dump() string {
	var out strings.Builder
	for _, id := range slices.Sorted(maps.Keys(b.assignments)) {
		s := b.assignments[id]
		fmt.Fprintf(&out, "%s %+v %+v from %v\n", id, s.Assignment, s.standing, s.from)
	}
	ids := func(wholes []*whole) (out []string) {
		for _, w := range wholes {
			out = append(out, w.subject.ID)
		}
		return out
	}
	for _, id := range slices.Sorted(maps.Keys(b.systems)) {
		w := b.systems[id]
		if !w.watched() && len(w.upstream) == 0 && len(w.groups) == 0 && w.rolled.Since.IsZero() {
			continue
		}
		fmt.Fprintf(&out, "system %s %v %+v %+v groups %v upstream %v parts", id, w.exists, w.rollup, w.rolled, ids(w.groups), w.upstream)
		for _, s := range w.parts {
			fmt.Fprintf(&out, " %s", s.ID)
		}
		out.WriteString("\n")
	}
	for _, id := range slices.Sorted(maps.Keys(b.groups)) {
		if w := b.groups[id]; w.watched() || !w.rolled.Since.IsZero() {
			fmt.Fprintf(&out, "group %s %+v members %v\n", id, w.rolled, ids(w.members))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.downstream)) {
		if down := b.downstream[id]; len(down) > 0 {
			fmt.Fprintf(&out, "downstream of %s %v\n", id, ids(down))
		}
	}
	return out.String()
}
