package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
)

// TestValidateCheck has one check per mistake, with the exact text.
func TestValidateCheck(t *testing.T) {
	t.Parallel()
	k := collectors()
	k.modules["pg-lag"] = lag(nil, core.Pass)
	p := plan.New(k, plan.Options{})
	base := func() core.Check { return httpCheck("https://${system.id}.example/", "status == 200") }
	if bad := p.ValidateCheck(base(), systems()); len(bad) > 0 {
		t.Fatalf("the check without a mistake: %v", bad)
	}
	module := func(c *core.Check, with map[string]any) {
		c.Collect[0] = core.Collect{Use: "wasm:pg-lag", With: with}
	}
	for _, tt := range []struct {
		name string
		edit func(c *core.Check)
		want string // path: message; fix, without the snippet
	}{
		{"name", func(c *core.Check) { c.ID = "a b" }, `id: the name "a b" may hold letters, digits, '.', '_' and '-' only, not ' '`},
		{"no steps", func(c *core.Check) { c.Collect = nil }, "collect: there is nothing to collect; name at least one step with use"},
		{"unknown collector", func(c *core.Check) { c.Collect[0].Use = "wasm:nope" }, "collect[0].use: no module named nope is uploaded; upload it first"},
		{"no collector", func(c *core.Check) { c.Collect[0].Use = "" }, "collect[0].use: use is missing: name a collector, for example http"},
		{"two steps of one name", func(c *core.Check) { c.Collect = append(c.Collect, c.Collect[0]) }, `collect[1].id: steps 1 and 2 are both called "http"; give each an id of its own`},
		{"assertion", func(c *core.Check) { c.Collect[0].Assert[0] = "statsu == 200" }, `1:1: collect[0].assert[0]: there is no "statsu"; did you mean "status"?`},
		{"assertion of another type", func(c *core.Check) { c.Collect[0].Warn = []string{"latency < 500"} }, `1:1: collect[0].warn[0]: < does not work on a duration and a number: latency is a duration, 500 is a number; write a duration, for example duration("500ms")`},
		{"unknown field", func(c *core.Check) { c.Collect[0].With["metod"] = "GET" }, `collect[0].with.metod: unknown field "metod"; did you mean "method"?`},
		{"field of another type", func(c *core.Check) { c.Collect[0].With["follow"] = "3" }, "collect[0].with.follow: it is text, not a whole number"},
		{"field out of bounds", func(c *core.Check) { c.Collect[0].With["follow"] = 30 }, "collect[0].with.follow: 30 is more than 10"},
		{"field of an enum", func(c *core.Check) { c.Collect[0].With["method"] = "GETT" }, `collect[0].with.method: "GETT" is not allowed; write one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS; did you mean "GET"?`},
		{"missing field", func(c *core.Check) { delete(c.Collect[0].With, "url") }, "collect[0].with.url: url is missing; write url: and its value"},
		{"hole", func(c *core.Check) { c.Collect[0].With["url"] = "https://${system.nam}/" }, `1:18: collect[0].with.url: system has no "nam"; did you mean "name"?`},
		{"mustache", func(c *core.Check) { c.Collect[0].With["url"] = "https://{{ system.name }}/" }, "1:9: collect[0].with.url: {{ }} has no meaning here; write ${system.name}"},
		{"filled in", func(c *core.Check) { c.Collect[0].With["url"] = "https://${system.tags.host}/" }, `collect[0].with: for system web-1: url: "https:///" names no host`},
		{"module field filled in", func(c *core.Check) {
			module(c, map[string]any{"database": "x", "port": "${len(system.id) + 70000}"})
		}, "collect[0].with.port: for system web-1: 70005 is more than 65535"},
		{"no interval", func(c *core.Check) { c.Every = 0 }, ""},
		{"interval", func(c *core.Check) { c.Every = core.Duration(time.Millisecond) }, ""},
		{"zone", func(c *core.Check) { c.Every, c.Cron, c.Zone = 0, "*/5 * * * *", "Europe/Berln" }, ""},
		{"timeout", func(c *core.Check) { c.Timeout = core.Duration(time.Minute) }, "timeout: 1m is more than the time between runs, 30s; lower the timeout or run it less often"},
		{"policy", func(c *core.Check) { c.Policy.Degraded = 9 }, "policy.degraded: degraded (9) is more than unhealthy (5), so degraded could not be reached; lower degraded or raise unhealthy"},
		{"no system", func(c *core.Check) { c.Systems = core.Selector{} }, `systems: it applies to no system; list systems by name, or select them: match: 'system.tags.env == "prod"'`},
		{"unknown system", func(c *core.Check) { c.Systems.Names[0] = "web-11" }, `systems.names[0]: there is no system "web-11"; did you mean "web-1"?`},
		{"selector", func(c *core.Check) { c.Systems.Match = "system.tags.env" }, "1:1: systems.match: the expression is text, not true or false; compare it with something"},
		{"override of an unknown system", func(c *core.Check) { c.Overrides = map[string]core.Override{"wob": {}} }, `overrides.wob: there is no system "wob"`},
		{"override of an unknown step", func(c *core.Check) {
			c.Overrides = map[string]core.Override{"web-1": {With: map[string]map[string]any{"htp": {}}}}
		}, `overrides.web-1.with.htp: there is no step "htp"; did you mean "http"?`},
		{"override of a field", func(c *core.Check) {
			c.Overrides = map[string]core.Override{"web-1": {With: map[string]map[string]any{"http": {"follow": 99}}}}
		}, "overrides.web-1.with.http.follow: 99 is more than 10"},
		{"override of the schedule", func(c *core.Check) {
			c.Overrides = map[string]core.Override{"web-1": {Every: core.Duration(5 * time.Second), Timeout: core.Duration(8 * time.Second)}}
		}, "overrides.web-1.timeout: 8s is more than the time between runs, 5s; lower the timeout or run it less often"},
		{"label", func(c *core.Check) { c.Labels = map[string]string{"a": strings.Repeat("x", 1<<20)} }, "labels.a: it has 1048576 bytes, more than 1024"},
		{"control characters", func(c *core.Check) { c.Name = "\x1b[31mred" }, "name: it has control characters"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := base()
			tt.edit(&c)
			bad := p.ValidateCheck(c, systems())
			if len(bad) == 0 {
				t.Fatal("got no problem")
			}
			got, _, _ := strings.Cut(bad[0].Error(), "\n")
			if tt.want != "" && got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if bad[0].Path == "" || bad[0].Message == "" {
				t.Errorf("problem %+v has no path or no message", bad[0])
			}
		})
	}
}

func TestValidateSystems(t *testing.T) {
	t.Parallel()
	p := plan.New(collectors(), plan.Options{})
	for _, tt := range []struct {
		name    string
		systems []core.System
		want    string
	}{
		{
			"cycle",
			[]core.System{{ID: "a", DependsOn: []string{"b"}}, {ID: "b", DependsOn: []string{"c"}}, {ID: "c", DependsOn: []string{"a"}}},
			"system c: depends_on[0]: systems depend on each other in a circle: a -> b -> c -> a; remove one of the dependencies",
		},
		{"itself", []core.System{{ID: "a", DependsOn: []string{"a"}}}, "system a: depends_on[0]: systems depend on each other in a circle: a -> a; remove one of the dependencies"},
		{"unknown", []core.System{{ID: "alpha", DependsOn: []string{"beta"}}, {ID: "bet"}}, `system alpha: depends_on[0]: there is no system "beta"; did you mean "bet"?`},
		{"twice", []core.System{{ID: "a"}, {ID: "a"}}, `system a: id: there are two systems "a"; rename or remove one`},
		{"group", []core.System{{ID: "a", Groups: []string{"x y"}}}, `system a: groups[0]: the name "x y" may hold letters, digits, '.', '_' and '-' only, not ' '`},
		{"rollup", []core.System{{ID: "a", Rollup: core.Rollup{Quorum: -1}}}, "system a: rollup.quorum: -1 is negative; write how many parts must be unhealthy, or 0 for the worst of all"},
	} {
		bad := p.ValidateSystems(tt.systems)
		if len(bad) != 1 || bad[0].Error() != tt.want {
			t.Errorf("%s: got %v\nwant %s", tt.name, bad, tt.want)
		}
	}
	if bad := p.ValidateSystems([]core.System{{ID: "a", DependsOn: []string{"b", "c"}}, {ID: "b", DependsOn: []string{"c"}}, {ID: "c"}}); len(bad) > 0 {
		t.Errorf("a diamond is no circle: %v", bad)
	}
}

func TestValidateSpans(t *testing.T) {
	t.Parallel()
	p := plan.New(collectors(), plan.Options{})
	at := time.Date(2026, 1, 31, 22, 0, 0, 0, time.UTC)
	for want, m := range map[string]core.Maintenance{
		"ends: it ends before it starts; write an end after the start":                                   {ID: "m", Systems: core.Selector{Names: []string{"db"}}, Starts: at, Ends: at},
		"starts: starts is missing; write an instant, for example 2026-01-31T22:00:00Z":                  {ID: "m", Systems: core.Selector{Names: []string{"db"}}},
		"systems: it applies to no system; list systems by name, or select them with match":              {ID: "m", Starts: at, Ends: at.Add(time.Hour)},
		`systems.names[0]: there is no system "dbb"; did you mean "db"?`:                                 {ID: "m", Systems: core.Selector{Names: []string{"dbb"}}, Starts: at, Ends: at.Add(time.Hour)},
		`id: the name "m!" may hold letters, digits, '.', '_' and '-' only, not '!'`:                     {ID: "m!", Systems: core.Selector{Names: []string{"db"}}, Starts: at, Ends: at.Add(time.Hour)},
		`1:8: systems.match: system has no "envv"; there are groups, id, name, tags` + "\nsystem.envv\n": {ID: "m", Systems: core.Selector{Match: "system.envv"}, Starts: at, Ends: at.Add(time.Hour)},
	} {
		bad := p.ValidateMaintenance(m, systems())
		if len(bad) != 1 || !strings.HasPrefix(bad[0].Error(), want) {
			t.Errorf("got %v\nwant %s", bad, want)
		}
		s := core.Silence{ID: m.ID, Systems: m.Systems, Starts: m.Starts, Ends: m.Ends}
		if silence := p.ValidateSilence(s, systems()); len(silence) != 1 || silence[0] != bad[0] {
			t.Errorf("of a silence: got %v, want %v", silence, bad)
		}
	}
	for match, want := range map[string]string{
		`rule.id matches "^page" && check.id in ["disk"]`: "",
		`system.tags.env = "prod"`:                        "1:17: match: ",
		`rule.idd == "x"`:                                 "1:6: match: rule has no \"idd\"; did you mean \"id\"",
		`rule.id matches "("`:                             "1:17: match: ",
		`rule.id`:                                         "1:1: match: ",
		`now > now`:                                       "1:1: match: ",
	} {
		bad := p.ValidateSilence(core.Silence{ID: "s", Match: match, Starts: at, Ends: at.Add(time.Hour)}, systems())
		if want == "" && len(bad) > 0 || want != "" && (len(bad) != 1 || !strings.HasPrefix(bad[0].Error(), want)) {
			t.Errorf("a silence that matches %s: got %v, want %q", match, bad, want)
		}
	}
}

// TestHostileSchema holds that a schema of a module can neither read files nor
// stop us.
func TestHostileSchema(t *testing.T) {
	t.Parallel()
	k := collectors()
	for name, schema := range map[string]string{
		"file": `{"$ref":"file:///etc/passwd"}`, "net": `{"$ref":"http://127.0.0.1:1/x"}`, "junk": `{"type":`, "odd": `{"type":"nothing"}`, "loop": `{"$ref":"#"}`,
	} {
		m := lag(nil, core.Pass)
		m.info.Schema = []byte(schema)
		k.modules[name] = m
	}
	p := plan.New(k, plan.Options{})
	for name := range k.modules {
		c := httpCheck("")
		c.Collect = []core.Collect{{Use: "wasm:" + name}}
		bad := p.ValidateCheck(c, systems())
		if len(bad) == 0 || strings.Contains(bad.Error(), "root:") {
			t.Errorf("schema %s: got %v, want a problem", name, bad)
		}
	}
}
