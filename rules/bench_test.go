package rules_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// BenchmarkNonCandidate is what a change costs that no rule looks at: nothing
// is recorded of it.
func BenchmarkNonCandidate(b *testing.B) {
	c, err := rules.NewCompiler(nil)
	if err != nil {
		b.Fatal(err)
	}
	m := rules.NewMachine(c, rules.MachineOptions{Explain: true})
	catalog := rules.Catalog{}
	for i := range 1000 {
		catalog.Systems = append(catalog.Systems, core.System{ID: fmt.Sprintf("s%d", i), Tags: map[string]string{"env": "test"}})
	}
	m.SetCatalog(catalog, day)
	var saved []rules.Saved
	for i := range 1000 {
		saved = append(saved, rules.Saved{Rule: core.Rule{ID: fmt.Sprintf("r%d", i), On: []core.Trigger{{Event: "health.unhealthy"}}, When: fmt.Sprintf(`system.tags.env == "prod-%d"`, i)}})
	}
	m.SetRules(saved, day)
	t := core.Transition{At: day, Subject: core.Subject{Kind: core.OfSystem, ID: "s1"}, From: core.Healthy, To: core.Unhealthy}
	b.ReportAllocs()
	for b.Loop() {
		t.Seq++
		t.At = t.At.Add(time.Millisecond)
		if out := m.Feed(t, t.At); len(out) != 0 {
			b.Fatal("a rule looked at it")
		}
	}
}
