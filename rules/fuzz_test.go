package rules_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// FuzzWants holds the index to its promise: it leaves out only rules whose
// condition is false.
func FuzzWants(f *testing.F) {
	for _, seed := range []string{
		`system.tags.env == "prod"`, `"prod" == system.tags.env && true`, `system.id == "a" || true`, `not (system.id == "a")`,
		`system.id == "b" ? false : true`, `system.tags.env == "test" == false`, "`&&` == to && system.id == \"b\"", `"\"" != "" && system.id == "b"`,
		`system.id == "b" ?? true`, `!(system.id == "b" && true)`, `[system.id == "b" && true][0] == false`, `1 < 2 && system.id == "b" != true`,
	} {
		f.Add(seed)
	}
	c := compiler(f)
	f.Fuzz(func(t *testing.T, source string) {
		demands := rules.Wants(source)
		if len(demands) == 0 {
			return
		}
		m := rules.NewMachine(c, rules.MachineOptions{})
		system := core.System{ID: "a", Tags: map[string]string{"env": "prod", "team": "x"}}
		m.SetCatalog(rules.Catalog{Systems: []core.System{system}}, day)
		m.SetRules([]rules.Saved{{Rule: core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, When: source}}}, day)
		if len(m.Quarantined()) > 0 {
			return
		}
		e := core.Transition{Seq: 1, At: day, Subject: core.Subject{Kind: core.OfSystem, ID: "a"}, From: core.Healthy, To: core.Unhealthy}
		if m.Show(&e); !m.EvalWhen("r") {
			return
		}
		for _, demand := range demands {
			tag, value, _ := strings.Cut(demand, "=")
			if is := system.Tags[tag]; tag != "" && is != value || tag == "" && value != system.ID {
				t.Errorf("%s is true of the system, but the index demands %s", source, demand)
			}
		}
	})
}

// FuzzReplay feeds arbitrary runs: an error, and never a panic.
func FuzzReplay(f *testing.F) {
	f.Add(`{"at": "2026-01-05T00:00:00Z", "system": "a", "outcome": "fail"}`)
	f.Add(`{"at": "2026-01-05T00:00:00Z", "system": "a", "outcome": "fail", "samples": {"x": [1, null]}}` + "\n{")
	f.Fuzz(func(t *testing.T, runs string) {
		var out bytes.Buffer
		err := rules.Replay(t.Context(), rules.ReplayInput{Check: outages(), Rules: mixed(), Runs: strings.NewReader(runs)}, &out)
		if err != nil && !strings.HasPrefix(err.Error(), "replay: runs line ") {
			t.Errorf("error %q names no line", err)
		}
	})
}
