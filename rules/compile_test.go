package rules_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

func compiler(tb testing.TB) *rules.Compiler {
	tb.Helper()
	c, err := rules.NewCompiler(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// acceptance 36: what is wrong with a rule is refused when it is saved, with
// its place and how to mend it.
func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	c := compiler(t)
	base := func() core.Rule {
		return core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, Do: []core.Step{
			{ID: "one", Action: "webhook", With: map[string]any{"url": "https://example.com"}},
		}}
	}
	for _, test := range []struct {
		name string
		edit func(*core.Rule)
		path string
		want string
	}{
		{"unknown name", func(r *core.Rule) { r.When = `helth == "healthy"` }, "when", `did you mean "health"`},
		{"wrong type", func(r *core.Rule) { r.When = `to == 3` }, "when", ""},
		{"not a condition", func(r *core.Rule) { r.When = `seq + 1` }, "when", ""},
		{"unknown health", func(r *core.Rule) { r.Unless = `to == "unhelthy"` }, "unless", `did you mean "unhealthy"`},
		{"braces", func(r *core.Rule) { r.When = `to == "{{ health }}"` }, "when", "{{"},
		{"trigger condition", func(r *core.Rule) { r.On[0].When = `nope` }, "on[0].when", ""},
		{"no trigger", func(r *core.Rule) { r.On = nil }, "on", "looks at nothing"},
		{"other trigger", func(r *core.Rule) { r.On[0].Event = "schedule" }, "on[0].event", "there are health.changed, health.degraded"},
		{"other subject", func(r *core.Rule) { r.On[0].Subject = "host" }, "on[0].subject", "there are system, assignment and group"},
		{"a run of a system", func(r *core.Rule) { r.On[0] = core.Trigger{Event: "run.failed", Subject: core.OfSystem} }, "on[0].subject", "a run is of an assignment"},
		{"a trigger that is nearly one", func(r *core.Rule) { r.On[0].Event = "run.faild" }, "on[0].event", `did you mean "run.failed"`},
		{"samples of health", func(r *core.Rule) { r.When = "samples.queue > 3" }, "on", "look at runs, for example on: run.failed"},
		{"metric without value", func(r *core.Rule) { r.On[0] = core.Trigger{Event: "metric", Above: new(1.0)} }, "on[0].value", "is missing"},
		{"metric without threshold", func(r *core.Rule) { r.On[0] = core.Trigger{Event: "metric", Value: "samples.q"} }, "on[0].above", "either above or below"},
		{"metric that ends early", func(r *core.Rule) {
			r.On[0] = core.Trigger{Event: "metric", Value: "samples.q", Above: new(1.0), Clear: new(2.0)}
		}, "on[0].clear", "would end it before it began"},
		{"metric of text", func(r *core.Rule) {
			r.On[0] = core.Trigger{Event: "metric", Value: "outcome", Above: new(1.0)}
		}, "on[0].value", "not a number"},
		{"metric among others", func(r *core.Rule) {
			r.On = append(r.On, core.Trigger{Event: "metric", Value: "samples.q", Above: new(1.0)})
		}, "on[1].event", "only trigger of its rule"},
		{"threshold of health", func(r *core.Rule) { r.On[0].Above = new(1.0) }, "on[0].above", "for metric only"},
		{"while", func(r *core.Rule) { r.Gate.For, r.Gate.While = 5, "x" }, "gate.while", ""},
		{"while for nothing", func(r *core.Rule) {
			r.Gate.While, r.Gate.Window = "true", &core.Window{Count: 1, Within: core.Duration(time.Minute)}
		}, "gate.while", "has no meaning"},
		{"by", func(r *core.Rule) { r.Gate.By = "system.idd" }, "gate.by", ""},
		{"window count", func(r *core.Rule) { r.Gate.Window = &core.Window{Within: 1} }, "gate.window.count", "write 1 to 1000"},
		{"window within", func(r *core.Rule) { r.Gate.Window = &core.Window{Count: 1} }, "gate.window.within", "is missing"},
		{"window of too few", func(r *core.Rule) { r.Gate.Window = &core.Window{Count: 3, Of: 2} }, "gate.window.of", "3 of 2 can never match"},
		{"window of too many", func(r *core.Rule) { r.Gate.Window = &core.Window{Count: 3, Of: 201} }, "gate.window.of", "write count to 200"},
		{"window of runs and changes", func(r *core.Rule) {
			r.On = append(r.On, core.Trigger{Event: "run.failed"})
			r.Gate.Window = &core.Window{Count: 3, Of: 5}
		}, "gate.window.of", "not counted together"},
		{"window of metrics", func(r *core.Rule) {
			r.On[0] = core.Trigger{Event: "metric", Value: "samples.q", Above: new(1.0)}
			r.Gate.Window = &core.Window{Count: 3, Of: 5}
		}, "gate.window.of", "a metric begins once"},
		{"window of what time changes", func(r *core.Rule) {
			r.When, r.Gate.Window = `health_for > duration("3m")`, &core.Window{Count: 3, Of: 5}
		}, "gate.window.of", "time alone can change"},
		{"window exit", func(r *core.Rule) { r.Gate.Window = &core.Window{Count: 2, Within: 1, Exit: 2} }, "gate.window.exit", "0 to count - 1 (1)"},
		{"negative", func(r *core.Rule) { r.Gate.Cooldown = -1 }, "gate.cooldown", "is negative"},
		{"mode", func(r *core.Rule) { r.Mode = "serial" }, "mode", "there are single, queued, restart and parallel"},
		{"max", func(r *core.Rule) { r.Max = 3 }, "max", "queued and parallel only"},
		{"other step", func(r *core.Rule) { r.Do[0].Action = "incident.open" }, "do[0].action", "assignment.run_now, log, notify, webhook"},
		{"no url", func(r *core.Rule) { r.Do[0].With = nil }, "do[0].with.url", "is missing"},
		{"bad url", func(r *core.Rule) { r.Do[0].With["url"] = "ftp://x" }, "do[0].with.url", "http://"},
		{"unknown field", func(r *core.Rule) { r.Do[0].With["bodi"] = "x" }, "do[0].with.bodi", "there is no field"},
		{"hole", func(r *core.Rule) { r.Do[0].With["body"] = map[string]any{"text": "is ${helth}"} }, "do[0].with.body.text", `did you mean "health"`},
		{"if", func(r *core.Rule) { r.Do[0].If = "n" }, "do[0].if", ""},
		{"later step", func(r *core.Rule) { r.Do[0].If = "steps.two.status == 200" }, "do[0].if", "no step before"},
		{"output", func(r *core.Rule) {
			r.Do = append(r.Do, core.Step{Action: "log", With: map[string]any{"message": "${steps.one.code}"}})
		}, "do[1].with", "there are status, body, json"},
		{"twice", func(r *core.Rule) { r.Do = append(r.Do, r.Do[0]) }, "do[1].id", "another step"},
		{"recover", func(r *core.Rule) { r.Recover = []core.Step{{Action: "page"}} }, "recover[0].action", "assignment.run_now, log, notify, webhook"},
		{"timeout", func(r *core.Rule) { r.Do[0].Timeout = core.Duration(time.Hour) }, "do[0].timeout", "at most 5m"},
	} {
		r := base()
		test.edit(&r)
		p, problems := c.Compile(r)
		if p != nil || len(problems) == 0 {
			t.Errorf("%s: compiled", test.name)
			continue
		}
		if got := problems[0]; got.Path != test.path || !strings.Contains(got.Error(), test.want) {
			t.Errorf("%s: got %v, want path %s and %q", test.name, problems, test.path, test.want)
		}
	}
}

func TestCompileAccepts(t *testing.T) {
	t.Parallel()
	c := compiler(t)
	r := core.Rule{
		ID: "r", On: []core.Trigger{{Event: "health.unhealthy", Subject: core.OfGroup}, {Event: "health.recovered", When: `from != "stale"`}},
		When: `system.tags.env == "prod" && healthy_checks < total_checks`, Unless: `in_maintenance || silenced || caused_by != nil`,
		Gate: core.Gate{By: "system.id", For: core.Duration(time.Minute), While: `health != "healthy" && health_for < duration("3h")`, Cooldown: 1},
		Do: []core.Step{
			{Action: "webhook", With: map[string]any{"url": "https://${system.tags.host}/x", "headers": map[string]any{"Authorization": map[string]any{"secret": "token"}}}},
			{Action: "log", If: "steps.webhook_1.status == 200", With: map[string]any{"message": "${rule.name} ${episode} ${n}: ${steps.webhook_1.json.id}"}},
		},
		Recover: []core.Step{{Action: "log", With: map[string]any{"message": "over"}}}, Mode: "parallel",
	}
	if _, problems := c.Compile(r); len(problems) > 0 {
		t.Errorf("compile: %v", problems)
	}
	same := r
	same.Name, same.Do, same.Mode, same.Note = "other", nil, "", "x"
	if rules.Revision(same) != rules.Revision(r) {
		t.Error("a new name or step makes a new revision")
	}
	same.Unless = ""
	if rules.Revision(same) == rules.Revision(r) {
		t.Error("a new unless keeps the revision")
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		source string
		want   []string
	}{
		{`system.tags.env == "prod"`, []string{"env=prod"}},
		{`to == "unhealthy" && "prod" == system.tags.env && system.id == "a"`, []string{"env=prod", "=a"}},
		{`system.tags["my env"] == "prod" && (a || b)`, []string{"my env=prod"}},
		{`system.tags.env == "a && b"`, []string{"env=a && b"}},
		{`system.tags.env == "prod" || true`, nil},
		{`(system.tags.env == "prod") || to == "x" && system.id == "a"`, nil},
		{`not (system.id == "a")`, nil},
		{`!(system.id == "a")`, nil},
		{`system.id == "a" and true`, nil},
		{`system.tags.env == ""`, nil},
		{`let x = true; system.id == "a"`, nil},
		{`system.id == "a" ? false : true`, nil},
		{`true // && system.id == "a"`, nil},
		{`all(system.groups, # == "x" && system.id == "a")`, nil},
		{`system.tags.env == "prod" == false`, nil},
	} {
		if got := rules.Wants(test.source); !slices.Equal(got, test.want) {
			t.Errorf("%s demands %q, want %q", test.source, got, test.want)
		}
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	minutes := func(n int) core.Duration { return core.Duration(time.Duration(n) * time.Minute) }
	for _, test := range []struct {
		gate core.Gate
		want string
	}{
		{core.Gate{}, "Fires on every matching change."},
		{core.Gate{For: minutes(2)}, "Fires when that has held for 2m (while the health stays as bad, or as good, as it became), once per episode."},
		{core.Gate{Cooldown: minutes(30)}, "Fires once per episode, but not within 30m after an episode closed."},
		{
			core.Gate{By: "system.tags.team", Window: &core.Window{Count: 3, Within: minutes(10), Quiet: minutes(5)}},
			"Fires at 3 matching events within 10m, once per episode; it closes when none is left or after 5m without one, for each system.tags.team.",
		},
		{
			core.Gate{Window: &core.Window{Count: 6, Of: 10, Exit: 1}},
			"Fires at 6 matching events among the newest 10, once per episode; it closes when no more than 1 are left.",
		},
		{
			core.Gate{Window: &core.Window{Count: 2, Of: 3, Within: minutes(10), Quiet: minutes(4)}},
			"Fires at 2 matching events among the newest 3, none older than 10m, once per episode; it closes when none is left or after 4m without one.",
		},
		{
			core.Gate{Window: &core.Window{Count: 1, Within: minutes(10), Refire: core.Refire{Each: minutes(15)}}},
			"Fires at the first matching event within 10m and again each 15m while open; it closes when none is left.",
		},
	} {
		if got := rules.Describe(test.gate); got != test.want {
			t.Errorf("describe %+v:\n%s\nwant\n%s", test.gate, got, test.want)
		}
	}
}

func TestCheckExprCountsSystems(t *testing.T) {
	t.Parallel()
	c := compiler(t)
	systems := []core.System{{ID: "a", Tags: map[string]string{"env": "prod"}}, {ID: "b"}, {ID: "c", Tags: map[string]string{"env": "prod"}}}
	r := c.CheckExpr("when", "bool", `system.tags.env == "prod"`, systems)
	if !r.OK || r.Matches == nil || *r.Matches != 2 || r.Type != "bool" {
		t.Errorf("check: %+v", r)
	}
	if r := c.CheckExpr("when", "bool", `to == "healthy" && system.id == "a"`, systems); !r.OK || r.Matches != nil {
		t.Errorf("a condition over more than the system has no count: %+v", r)
	}
	if r := c.CheckExpr("step", "text", "${steps.a.status} ${n}", nil); !r.OK {
		t.Errorf("text: %+v", r)
	}
	if r := c.CheckExpr("when", "bool", "n == 1", nil); r.OK || len(r.Problems) == 0 {
		t.Errorf("a condition cannot see n: %+v", r)
	}
	if _, ok := c.Env("step").Vars["steps"]; !ok {
		t.Error("the environment of steps lacks steps")
	}
}

// Each is a rule whose steps cannot be taken, with the path and words of the
// first problem.
func TestCompileRefusesFlow(t *testing.T) {
	t.Parallel()
	c, err := rules.NewCompiler(nil)
	if err != nil {
		t.Fatal(err)
	}
	say := func(text string) core.Step {
		return core.Step{Action: "log", With: map[string]any{"message": text}}
	}
	hook := core.Step{ID: "hook", Action: "webhook", With: map[string]any{"url": "https://example.com"}}
	within := func(s core.Step, n int) core.Step {
		for range n {
			s = core.Step{If: "true", Then: []core.Step{s}}
		}
		return s
	}
	times := func(n int, s core.Step) core.Step {
		return core.Step{Repeat: &core.Repeat{Times: n, Do: []core.Step{s}}}
	}
	wait := core.Wait{Until: `health == "healthy"`, Timeout: core.Duration(time.Hour)}
	for _, test := range []struct {
		name, path, want string
		steps            []core.Step
	}{
		{"nothing to do", "do[0]", "what to do", []core.Step{{}}},
		{"if alone", "do[0]", "not what to do then", []core.Step{{If: "true"}}},
		{"two things", "do[0]", "this one has log and delay", []core.Step{{Action: "log", Delay: 1}}},
		{"then without if", "do[0]", "then has no if", []core.Step{{Then: []core.Step{say("x")}}}},
		{"else alone", "do[0].else", "neither then nor choose", []core.Step{{Delay: 1, Else: []core.Step{say("x")}}}},
		{"flow misspelt as an action", "do[0].action", `did you mean "repeat"?`, []core.Step{{Action: "repaet"}}},
		{"condition", "do[0].if", `did you mean "health"`, []core.Step{{If: "helth == \"healthy\"", Then: []core.Step{say("x")}}}},
		{"deep inside", "do[0].then[0].parallel[1][0].with.message", `did you mean "why"`, []core.Step{{If: "true", Then: []core.Step{{Parallel: [][]core.Step{{say("x")}, {say("${whi}")}}}}}}},
		{"choice without a condition", "do[0].choose[0].when", "is missing", []core.Step{{Choose: []core.Choice{{Then: []core.Step{say("x")}}}}}},
		{"too deep", "do[0].then[0].then[0].then[0].then[0].then[0].then", "more than 5 levels", []core.Step{within(say("x"), 6)}},
		{"too many", "do", "51 steps are more than 50", slices.Repeat([]core.Step{say("x")}, 51)},
		{"too many times", "do[0].repeat.times", "1 to 100", []core.Step{times(101, say("x"))}},
		{"too many in all", "do", "more than 1000", []core.Step{times(50, times(20, say("x")))}},
		{"how often", "do[0].repeat", "one of times", []core.Step{{Repeat: &core.Repeat{Times: 2, While: "true", Do: []core.Step{say("x")}}}}},
		{"nothing to repeat", "do[0].repeat.do", "nothing to repeat", []core.Step{{Repeat: &core.Repeat{Times: 2}}}},
		{"not a list", "do[0].repeat.for_each", "is not a list", []core.Step{{Repeat: &core.Repeat{ForEach: "system.name", Do: []core.Step{say("x")}}}}},
		{"item outside", "do[0].with", "no repeat is around", []core.Step{say("${repeat.item}")}},
		{"wait without an end", "do[0].wait.timeout", "is missing", []core.Step{{Wait: &core.Wait{Until: "true"}}}},
		{"wait too long", "do[0].wait.timeout", "at most 30d", []core.Step{{Wait: &core.Wait{Until: "true", Timeout: core.Duration(31 * 24 * time.Hour)}}}},
		{"wait for longer", "do[0].wait.for", "at most what timeout says", []core.Step{{Wait: &core.Wait{Until: "true", For: 2, Timeout: 1}}}},
		{"wait for text", "do[0].wait.until", "", []core.Step{{Wait: &core.Wait{Until: "health", Timeout: 1}}}},
		{"timeout of flow", "do[0]", "no meaning for wait", []core.Step{{Wait: &wait, Timeout: 1}}},
		{"delay", "do[0].delay", "out of range", []core.Step{{Delay: -1}}},
		{"let of nothing", "do[0].let.x", `did you mean "why"`, []core.Step{{Let: map[string]string{"x": "whi"}}}},
		{"name misspelt", "do[1].with", `did you mean "owner"?`, []core.Step{{Let: map[string]string{"owner": "system.tags.owner"}}, say("${vars.ovner}")}},
		{"name of another type", "do[1].if", "", []core.Step{{Let: map[string]string{"n": "total_checks"}}, {If: `vars.n == "many"`, Then: []core.Step{say("x")}}}},
		{"names twice", "do[1].let.n", "another let", []core.Step{{Let: map[string]string{"n": "1"}}, {Let: map[string]string{"n": "2"}}}},
		{"outcome of a wait", "do[1].if", "", []core.Step{{ID: "w", Wait: &wait}, {If: "steps.w.outcome == 5", Then: []core.Step{say("x")}}}},
		{"field of a wait", "do[1].if", `did you mean "outcome"?`, []core.Step{{ID: "w", Wait: &wait}, {If: `steps.w.outcom == "met"`, Then: []core.Step{say("x")}}}},
		{"in another branch", "do[0].parallel[1][0].with", `no step before this one has the id "hook"`, []core.Step{{Parallel: [][]core.Step{{hook}, {say("${steps.hook.status}")}}}}},
		{"may not have been done", "do[1].with", "write steps.hook?.status", []core.Step{{If: "true", Then: []core.Step{hook}}, say("${steps.hook.status}")}},
		{"may have failed", "do[1].if", "write steps.hook?.status", []core.Step{{ID: "hook", Action: "webhook", With: hook.With, ContinueOnError: true}, {If: "steps.hook.status == 200", Then: []core.Step{say("x")}}}},
		{"may not have been named", "do[1].with", "vars.n ??", []core.Step{{If: "true", Then: []core.Step{{Let: map[string]string{"n": "why"}}}}, say("${vars.n}")}},
		{"the same id elsewhere", "do[1].then[0].id", "another step before it", []core.Step{hook, {If: "true", Then: []core.Step{hook}}}},
	} {
		r := core.Rule{ID: "r", On: []core.Trigger{{Event: "health.changed"}}, Do: test.steps}
		p, problems := c.Compile(r)
		if p != nil || len(problems) == 0 {
			t.Errorf("%s: compiled", test.name)
			continue
		}
		if got := problems[0]; got.Path != test.path || !strings.Contains(got.Error(), test.want) {
			t.Errorf("%s: got %v, want path %s and %q", test.name, problems, test.path, test.want)
		}
	}
}
