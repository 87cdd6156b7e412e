package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// A preset is a gate that one could write oneself: a rule with its name and one
// with its fields are the same in every respect, and what is written beside the
// name goes first.
func TestPresets(t *testing.T) {
	t.Parallel()
	c := compiler(t)
	for _, p := range rules.Presets() {
		if p.Gate.Preset != "" || p.Gate.By != "" || p.Gate.While != "" || p.Use == "" {
			t.Errorf("preset %s: %+v", p.Name, p)
		}
		named := core.Rule{ID: "r", On: []core.Trigger{{Event: "run.failed"}}, Gate: core.Gate{Preset: p.Name, By: "system.id"}}
		written := named
		written.Gate = p.Gate
		written.Gate.By = "system.id"
		for _, r := range []core.Rule{named, written} {
			if _, problems := c.Compile(r); len(problems) > 0 {
				t.Errorf("preset %s: %v", p.Name, problems)
			}
		}
		if a, b := rules.Revision(named), rules.Revision(written); a != b {
			t.Errorf("preset %s: revision %s, written out %s", p.Name, a, b)
		}
		if a, b := rules.Describe(named.Gate), rules.Describe(written.Gate); a != b {
			t.Errorf("preset %s: described as %q, written out as %q", p.Name, a, b)
		}
	}
	own := core.Gate{Preset: "page-once", For: core.Duration(time.Minute), Cooldown: core.Duration(time.Hour * 2)}
	if got, want := rules.WriteOut(own), (core.Gate{For: core.Duration(time.Minute), Cooldown: core.Duration(time.Hour * 2)}); got != want {
		t.Errorf("%+v written out: got %+v, want %+v", own, got, want)
	}
	_, problems := c.Compile(core.Rule{ID: "r", On: []core.Trigger{{Event: "run.failed"}}, Gate: core.Gate{Preset: "nagius"}})
	if len(problems) != 1 || problems[0].Path != "gate.preset" || !strings.Contains(problems[0].Error(), `did you mean "nagios"?`) {
		t.Errorf("a preset that is not known: %v", problems)
	}
}
