package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/rules/action"
)

// Where no modules are, a rule that needs one is refused with a sentence.
func TestRulesWithoutModules(t *testing.T) {
	t.Parallel()
	rule := core.Rule{
		ID: "tell", On: []core.Trigger{{Event: "health.unhealthy"}}, When: "score(1) > 2",
		Do: []core.Step{{ID: "a", Action: "wasm:chat"}, {Action: "log", With: map[string]any{"message": "${steps.a.id}"}}},
	}
	err := rules.Replay(t.Context(), rules.ReplayInput{Rules: []core.Rule{rule}, Runs: strings.NewReader("")}, &strings.Builder{})
	for _, want := range []string{
		`"wasm:chat" is the action of a module, and modules are not available here`,
		`there is no function "score"`, "a function of a module is known to a running server alone",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Replay: %v, want %s", err, want)
		}
	}
	c, err := rules.NewCompiler(nil)
	if err != nil {
		t.Fatal(err)
	}
	rule.When = ""
	if _, problems := c.Lenient().Compile(rule); len(problems) > 0 {
		t.Errorf("Compile with modules taken to be there: %v", problems)
	}
}

// shelf is Modules with one function, while it is there.
type shelf struct{ there bool }

func (*shelf) Action(string) (action.Action, error) { return nil, nil } //nolint:nilnil // not asked
func (*shelf) Actions() []string                    { return nil }
func (s *shelf) Edition() string                    { return map[bool]string{true: "1", false: "2"}[s.there] }

func (s *shelf) Functions() []lang.Func {
	if !s.there {
		return nil
	}
	return []lang.Func{{FunctionDecl: core.FunctionDecl{Name: "odd", Params: []core.SampleDecl{{Name: "n", Type: core.IntegerSample}}, Returns: core.BoolSample}}}
}

// A rule whose function goes is quarantined, and comes back with it.
func TestQuarantineOfModules(t *testing.T) {
	t.Parallel()
	c, err := rules.NewCompiler(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &shelf{there: true}
	m := rules.NewMachine(c.With(s), rules.MachineOptions{})
	saved := []rules.Saved{{Rule: core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, When: "odd(total_checks)", Do: []core.Step{{Action: "log", With: map[string]any{"message": "x"}}}}}}
	for _, there := range []bool{true, false, true} {
		s.there = there
		m.SetRules(saved, time.Unix(0, 0))
		if sick := m.Quarantined()["r"]; (len(sick) == 0) != there || !there && !strings.Contains(sick.Error(), `there is no function "odd"`) {
			t.Errorf("with the module there %v: quarantined for %v", there, sick)
		}
	}
}
