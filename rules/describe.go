package rules

import (
	"fmt"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// Describe says in words what a gate demands, as one sentence, whether by a
// preset or not.
func Describe(g core.Gate) string {
	g = WriteOut(g)
	var parts []string
	if w := withDefaults(g.Window); w != nil {
		parts = append(parts, describeWindow(*w))
	}
	if g.For > 0 {
		while := g.While
		if while == "" {
			while = "the health stays as bad, or as good, as it became"
		}
		parts = append(parts, fmt.Sprintf("when that has held for %s (while %s)", g.For, while))
	}
	if len(parts) == 0 && g.Cooldown == 0 {
		parts = append(parts, "on every matching change")
	}
	if len(parts) == 0 || g.Window == nil && g.For > 0 {
		parts = append(parts, "once per episode")
	}
	if g.Cooldown > 0 {
		parts = append(parts, fmt.Sprintf("but not within %s after an episode closed", g.Cooldown))
	}
	text := "Fires " + strings.Join(parts, ", ")
	if g.By != "" {
		text += ", for each " + g.By
	}
	return text + "."
}

func describeWindow(w core.Window) string {
	which := "within " + w.Within.String()
	if w.Of > 0 {
		which = fmt.Sprintf("among the newest %d", w.Of)
		if w.Within > 0 {
			which += ", none older than " + w.Within.String()
		}
	}
	text := fmt.Sprintf("at %d matching events %s", w.Count, which)
	if w.Count == 1 {
		text = "at the first matching event " + which
	}
	switch {
	case w.Refire.EveryEvent:
		text += " and again on each further one"
	case w.Refire.Each > 0:
		text += fmt.Sprintf(" and again each %s while open", w.Refire.Each)
	default:
		text += ", once per episode"
	}
	end := fmt.Sprintf("no more than %d are left", w.Exit)
	if w.Exit == 0 {
		end = "none is left"
	}
	if w.Quiet > 0 && (w.Within == 0 || w.Quiet < w.Within) {
		end += fmt.Sprintf(" or after %s without one", w.Quiet)
	}
	return text + "; it closes when " + end
}
