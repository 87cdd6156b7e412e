package plan

import (
	"fmt"
	"iter"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
)

// channels checks the channels that changed, and that rules name channels that
// there are.
func (s *Service) channels(e *edit) core.Problems {
	var out core.Problems
	known := map[string]bool{}
	var ids []string
	for _, c := range e.after.channels {
		known[c.ID], ids = true, append(ids, c.ID)
		if e.changed[Ref{store.Channels, c.ID}] {
			bad := append(identity(c.ID, c.Name, nil, c.Note), s.channel(c)...)
			out = append(out, bad.In(string(store.Channels), c.ID)...)
		}
	}
	for _, r := range e.after.rules {
		changed := e.changed[Ref{store.Rules, r.ID}]
		for path, id := range channelsOf(r) {
			switch {
			case known[id]:
			case changed:
				fix := "create it first, or in the same edit"
				if near := lang.Nearest(id, ids); near != "" {
					fix = fmt.Sprintf("did you mean %q?", near)
				}
				out = append(out, core.Problems{{Path: path + ".with.channel", Code: "channel", Message: fmt.Sprintf("there is no channel %q", id), Fix: fix}}.In(string(store.Rules), r.ID)...)
			case e.gone[Ref{store.Channels, id}]:
				out = append(out, core.Problem{
					Object: string(store.Channels) + ":" + id, Code: "in_use",
					Message: fmt.Sprintf("channel %q cannot be deleted: rule %q tells it", id, r.ID), Fix: "remove the step first, or in the same edit",
				})
			}
		}
	}
	return out
}

// channelsOf are the channels that steps of a rule name, by the path of the
// step.
func channelsOf(r core.Rule) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for _, list := range []struct {
			name  string
			steps []core.Step
		}{{"do", r.Do}, {"recover", r.Recover}} {
			for path, step := range core.Steps(list.name, list.steps) {
				id, _ := step.With["channel"].(string)
				if step.Action == "notify" && id != "" && !strings.Contains(id, "${") && !yield(path, id) {
					return
				}
			}
		}
	}
}
