package core_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// quick makes one run decide.
var quick = core.Policy{Degraded: 1, Unhealthy: 1}

func assignment(system, check string) core.Assignment {
	return core.Assignment{
		ID: core.AssignmentID(system, check), System: system, Check: check, Enabled: true, Policy: quick,
		Interval: core.Duration(time.Minute), StaleAfter: core.Duration(3 * time.Minute),
	}
}

// board is a Board of systems, each with the checks http and tcp.
func board(t *testing.T, systems ...core.System) *core.Board {
	t.Helper()
	b := core.NewBoard()
	var c core.Change
	for _, s := range systems {
		c.PutSystems = append(c.PutSystems, s)
		c.PutAssignments = append(c.PutAssignments, assignment(s.ID, "http"), assignment(s.ID, "tcp"))
	}
	b.Configure(c, start)
	b.Commit()
	return b
}

// story records runs such as "web:http f" and returns the Transitions in
// short.
func story(b *core.Board, runs ...string) string {
	var out []string
	for i, text := range runs {
		id, letter, _ := strings.Cut(text, " ")
		run := runOf(i, outcomes(letter)[0])
		run.Assignment = id
		out = append(out, brief(b.Record(run)))
	}
	return strings.Join(slices.DeleteFunc(out, func(s string) bool { return s == "" }), ", ")
}

func brief(changes []core.Transition) string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		text := fmt.Sprintf("%s %v>%v", c.Subject.ID, c.From, c.To)
		if c.Removed {
			text += " removed"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// acceptance 1, 6.
func TestBoardRecord(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		runs []string
		want string
	}{
		{
			"the first run ever fails",
			[]string{"web:http f"},
			"web:http unknown>unhealthy, web unknown>unhealthy, prod unknown>unhealthy",
		},
		{
			"unknown until every check has passed",
			[]string{"web:http p", "web:tcp p"},
			"web:http unknown>healthy, web:tcp unknown>healthy, web unknown>healthy, prod unknown>healthy",
		},
		{
			"two checks, one down for good: the system moves once",
			[]string{"web:http f", "web:tcp p", "web:http f", "web:tcp p", "web:http f"},
			"web:http unknown>unhealthy, web unknown>unhealthy, prod unknown>unhealthy, web:tcp unknown>healthy",
		},
		{
			"worst of two",
			[]string{"web:http f", "web:tcp w", "web:http p", "web:tcp p"},
			"web:http unknown>unhealthy, web unknown>unhealthy, prod unknown>unhealthy, web:tcp unknown>degraded, " +
				"web:http unhealthy>healthy, web unhealthy>degraded, prod unhealthy>degraded, web:tcp degraded>healthy, " +
				"web degraded>healthy, prod degraded>healthy",
		},
		{"an error moves nothing", []string{"web:http e", "web:tcp e"}, ""},
		{"an unknown assignment moves nothing", []string{"db:http f"}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := board(t, core.System{ID: "web", Groups: []string{"prod"}})
			if got := story(b, test.runs...); got != test.want {
				t.Errorf("%v moved\n%s, want\n%s", test.runs, got, test.want)
			}
		})
	}
}

func TestTransitionSaysWhatCausedIt(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web"})
	run := runOf(41, core.Fail)
	run.Assignment = "web:http"
	for _, c := range b.Record(run) {
		if c.Run != run.ID || !c.At.Equal(run.Ended) || c.Cause != core.CauseRun || !strings.Contains(c.Why.Text, "status == 200") || c.Seq != 0 {
			t.Errorf("transition is %+v, want the run, its end, its reason and no seq", c)
		}
	}
	r, _ := b.System("web")
	if r.TotalChecks != 2 || r.HealthyChecks != 0 || !r.Since.Equal(run.Ended) || !strings.Contains(r.Why.Text, "http") {
		t.Errorf("web is %+v, want 0 of 2 healthy, since the run, because of http", r)
	}
}

// acceptance 7.
func TestBoardConfigure(t *testing.T) {
	t.Parallel()
	disabled := assignment("web", "http")
	disabled.Enabled = false
	lenient := assignment("web", "http")
	lenient.Policy = core.Policy{Degraded: 1, Unhealthy: 5}
	for _, test := range []struct {
		name   string
		change core.Change
		want   string
		health core.Health // of web; 99: gone
	}{
		{
			"disable the only failing check",
			core.Change{PutAssignments: []core.Assignment{disabled}},
			"web:http unhealthy>unknown removed, web unhealthy>healthy, prod unhealthy>healthy", core.Healthy,
		},
		{
			"unassign the only failing check",
			core.Change{DeleteAssignments: []string{"web:http"}},
			"web:http unhealthy>unknown removed, web unhealthy>healthy, prod unhealthy>healthy", core.Healthy,
		},
		{
			"delete the system",
			core.Change{DeleteSystems: []string{"web"}},
			"web:http unhealthy>unknown removed, web:tcp healthy>unknown removed, web unhealthy>unknown removed, prod unhealthy>unknown removed", 99,
		},
		{
			"delete the system and its checks",
			core.Change{DeleteSystems: []string{"web"}, DeleteAssignments: []string{"web:http", "web:tcp"}},
			"web:http unhealthy>unknown removed, web:tcp healthy>unknown removed, web unhealthy>unknown removed, prod unhealthy>unknown removed", 99,
		},
		{
			"loosen the policy",
			core.Change{PutAssignments: []core.Assignment{lenient}},
			"web:http unhealthy>degraded, web unhealthy>degraded, prod unhealthy>degraded", core.Degraded,
		},
		{
			"leave the group",
			core.Change{PutSystems: []core.System{{ID: "web"}}},
			"prod unhealthy>unknown removed", core.Unhealthy,
		},
		{
			"change groups",
			core.Change{PutSystems: []core.System{{ID: "web", Groups: []string{"test"}}}},
			"prod unhealthy>unknown removed, test unknown>unhealthy", core.Unhealthy,
		},
		{"change nothing", core.Change{PutSystems: []core.System{{ID: "web", Groups: []string{"prod"}}}}, "", core.Unhealthy},
		{"delete what is not there", core.Change{DeleteSystems: []string{"db"}, DeleteAssignments: []string{"db:http"}}, "", core.Unhealthy},
		{
			"a new check makes nothing healthy",
			core.Change{PutAssignments: []core.Assignment{disabled, assignment("web", "dns")}},
			"web:http unhealthy>unknown removed, web unhealthy>unknown, prod unhealthy>unknown", core.Unknown,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b := board(t, core.System{ID: "web", Groups: []string{"prod"}})
			story(b, "web:http f", "web:http f", "web:tcp p")
			changes := b.Configure(test.change, start.Add(time.Hour))
			if got := brief(changes); got != test.want {
				t.Errorf("moved\n%s, want\n%s", got, test.want)
			}
			for _, c := range changes {
				if c.Cause != core.CauseConfig || c.Run != 0 || !c.At.Equal(start.Add(time.Hour)) {
					t.Errorf("transition is %+v, want cause config, no run, the time of the edit", c)
				}
			}
			r, ok := b.System("web")
			if ok != (test.health != 99) || ok && r.Health != test.health {
				t.Errorf("web is %v, %v, want %v", r.Health, ok, test.health)
			}
		})
	}
}

func TestDisabledAssignmentBeginsAnew(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web"})
	story(b, "web:http f", "web:tcp p")
	a := assignment("web", "http")
	a.Enabled = false
	b.Configure(core.Change{PutAssignments: []core.Assignment{a}}, start.Add(time.Hour))
	if got := story(b, "web:http f"); got != "" {
		t.Errorf("a run of a disabled assignment moved %s", got)
	}
	a.Enabled = true
	if got := brief(b.Configure(core.Change{PutAssignments: []core.Assignment{a}}, start.Add(2*time.Hour))); got != "web healthy>unknown" {
		t.Errorf("enabling moved %q, want web healthy>unknown", got)
	}
	if got := brief(b.Expire([]string{"web:http"}, start.Add(2*time.Hour+time.Minute))); got != "" {
		t.Errorf("a minute after enabling %q is stale, want nothing: it had no time to run", got)
	}
	if got := story(b, "web:http p"); got != "web:http unknown>healthy, web unknown>healthy" {
		t.Errorf("the first pass moved %q", got)
	}
}

// acceptance 8.
func TestBoardExpire(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web", Groups: []string{"prod"}})
	story(b, "web:http p", "web:tcp p") // ended at minutes 0 and 1
	both := []string{"web:http", "web:tcp", "db:http"}
	if got := brief(b.Expire(both, start.Add(3*time.Minute))); got != "" {
		t.Errorf("exactly stale_after later %q, want nothing", got)
	}
	want := "web:http healthy>stale, web healthy>stale, prod healthy>stale"
	if got := brief(b.Expire(both, start.Add(3*time.Minute+time.Second))); got != want {
		t.Errorf("after stale_after %q, want %q", got, want)
	}
	if got := brief(b.Expire(both, start.Add(3*time.Minute+2*time.Second))); got != "" {
		t.Errorf("again %q, want nothing", got)
	}
	want = "web:http stale>healthy, web stale>healthy, prod stale>healthy"
	if got := story(b, "web:http p"); got != want {
		t.Errorf("the next run moved %q, want %q", got, want)
	}
}

// Two checks that expire together are one change of a system with a quorum.
func TestBoardExpireTogether(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web", Rollup: core.Rollup{Quorum: 2}})
	story(b, "web:http p", "web:tcp p")
	want := "web:http healthy>stale, web:tcp healthy>stale, web healthy>stale"
	if got := brief(b.Expire([]string{"web:http", "web:tcp"}, start.Add(time.Hour))); got != want {
		t.Errorf("moved %q, want %q", got, want)
	}
}

func TestBoardNeverExpires(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web"})
	never, off := assignment("web", "http"), assignment("web", "tcp")
	never.StaleAfter, off.Enabled = 0, false
	b.Configure(core.Change{PutAssignments: []core.Assignment{never, off}}, start)
	if got := brief(b.Expire([]string{"web:http", "web:tcp"}, start.Add(1000*time.Hour))); got != "" {
		t.Errorf("stale_after 0 and disabled: moved %q, want nothing", got)
	}
}

func TestBoardQuorum(t *testing.T) {
	t.Parallel()
	b := board(t, core.System{ID: "web", Rollup: core.Rollup{Quorum: 2}})
	b.Configure(core.Change{PutAssignments: []core.Assignment{assignment("web", "dns")}}, start)
	for _, test := range []struct {
		run  string
		want core.Health
	}{
		{"web:http p", core.Unknown},
		{"web:tcp p", core.Unknown},
		{"web:dns p", core.Healthy},
		{"web:dns w", core.Degraded},
		{"web:dns f", core.Degraded},
		{"web:tcp f", core.Unhealthy},
		{"web:http f", core.Unhealthy},
		{"web:dns p", core.Unhealthy},
		{"web:http p", core.Degraded},
		{"web:tcp p", core.Healthy},
	} {
		story(b, test.run)
		if r, _ := b.System("web"); r.Health != test.want {
			t.Fatalf("after %s web is %v (%s), want %v", test.run, r.Health, r.Why, test.want)
		}
	}
}

func TestBoardGroup(t *testing.T) {
	t.Parallel()
	group := []string{"prod", "all", "prod"}
	b := board(t, core.System{ID: "a", Groups: group}, core.System{ID: "b", Groups: group}, core.System{ID: "idle", Groups: group})
	b.Configure(core.Change{DeleteAssignments: []string{"idle:http", "idle:tcp"}}, start)
	story(b, "a:http p", "a:tcp p", "b:http p", "b:tcp p")
	r, ok := b.Group("prod")
	if !ok || r.Health != core.Healthy || r.TotalChecks != 4 || r.HealthyChecks != 4 {
		t.Fatalf("prod is %+v, want healthy, 4 of 4 checks: a system without checks has no say", r)
	}
	want := "b:http healthy>unhealthy, b healthy>unhealthy, all healthy>unhealthy, prod healthy>unhealthy"
	if got := story(b, "b:http f"); got != want {
		t.Errorf("moved %q, want %q", got, want)
	}
	if r, _ := b.Group("prod"); r.HealthyChecks != 3 || !strings.Contains(r.Why.Text, "b: ") {
		t.Errorf("prod is %+v, want 3 healthy checks and b to blame", r)
	}
	if _, ok := b.Group("none"); ok {
		t.Error("a group without members is on the board")
	}
}

func TestBoardCausedBy(t *testing.T) {
	t.Parallel()
	// shop -> api -> db, api -> cache
	b := board(t, core.System{ID: "shop", DependsOn: []string{"api"}}, core.System{ID: "api", DependsOn: []string{"db", "cache"}},
		core.System{ID: "db"}, core.System{ID: "cache"})
	for _, s := range []string{"shop", "api", "db", "cache"} {
		story(b, s+":http p", s+":tcp p")
	}
	check := func(what, want string) {
		t.Helper()
		var got []string
		for _, id := range []string{"shop", "api", "db", "cache"} {
			r, _ := b.System(id)
			got = append(got, fmt.Sprintf("%s%v", id, r.CausedBy))
		}
		if joined := strings.Join(got, " "); joined != want {
			t.Errorf("%s: caused by %s, want %s", what, joined, want)
		}
	}
	story(b, "shop:http f")
	check("alone", "shop[] api[] db[] cache[]")
	story(b, "db:http f")
	check("far upstream, api still healthy", "shop[db] api[] db[] cache[]")
	story(b, "api:http f")
	check("the root is shown once", "shop[db] api[db] db[] cache[]")
	story(b, "cache:http f")
	check("two roots", "shop[cache db] api[cache db] db[] cache[]")
	story(b, "db:http p", "cache:http p")
	check("api is the root now", "shop[api] api[] db[] cache[]")
	if got := story(b, "db:http f"); got != "db:http healthy>unhealthy, db healthy>unhealthy" {
		t.Errorf("a cause further up moved %q, want only db: it changes reasons, not health", got)
	}
	check("db again", "shop[db] api[db] db[] cache[]")
	b.Configure(core.Change{PutSystems: []core.System{{ID: "api", DependsOn: []string{"cache"}}}}, start)
	check("api depends on db no longer", "shop[api] api[] db[] cache[]")
	b.Configure(core.Change{PutSystems: []core.System{{ID: "api", DependsOn: []string{"db"}}}}, start)
	check("and again", "shop[db] api[db] db[] cache[]")
	b.Configure(core.Change{DeleteSystems: []string{"db"}}, start)
	check("db is deleted", "shop[api] api[] db[] cache[]")
	if c := b.Record(&core.Run{ID: 9, Assignment: "cache:http", Outcome: core.Fail, Ended: start}); len(c) == 0 || len(c[0].CausedBy) != 0 {
		t.Errorf("transitions of a root are %+v, want no cause", c)
	}
}

// operate does something at random and reports what.
func operate(r *rand.Rand, b *core.Board, i int) string {
	system := func() string { return fmt.Sprintf("s%d", r.IntN(6)) }
	pick := func() core.Assignment {
		a := assignment(system(), []string{"http", "tcp", "dns"}[r.IntN(3)])
		a.Enabled = r.IntN(4) > 0
		if r.IntN(2) == 0 {
			a.Policy = randomPolicy(r)
		}
		return a
	}
	now := start.Add(time.Duration(i) * time.Minute)
	switch r.IntN(8) {
	case 0:
		n := r.IntN(6)
		s := core.System{ID: fmt.Sprintf("s%d", n), Rollup: core.Rollup{Quorum: r.IntN(3)}}
		for up := range n { // only on lower ones: no cycles
			if r.IntN(3) == 0 {
				s.DependsOn = append(s.DependsOn, fmt.Sprintf("s%d", up))
			}
		}
		for _, g := range []string{"g0", "g1", "g2"} {
			if r.IntN(2) == 0 {
				s.Groups = append(s.Groups, g)
			}
		}
		return "put " + s.ID + brief(b.Configure(core.Change{PutSystems: []core.System{s}, PutAssignments: []core.Assignment{assignment(s.ID, "http")}}, now))
	case 1:
		return "delete" + brief(b.Configure(core.Change{DeleteSystems: []string{system()}, DeleteAssignments: []string{pick().ID}}, now))
	case 2:
		a := pick()
		if _, ok := b.System(a.System); !ok {
			return ""
		}
		return "assign" + brief(b.Configure(core.Change{PutAssignments: []core.Assignment{a}}, now))
	case 3:
		return "expire" + brief(b.Expire([]string{pick().ID, pick().ID}, now))
	}
	run := runOf(i, core.Outcome(r.IntN(4)))
	run.Assignment = pick().ID
	return "run" + brief(b.Record(run))
}

func TestRollbackRestoresEverything(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		b := core.NewBoard()
		for i := range 60 {
			operate(r, b, i)
		}
		b.Commit()
		before := b.Dump()
		var done []string
		for i := range 1 + r.IntN(30) {
			done = append(done, operate(r, b, 100+i))
		}
		b.Rollback()
		if after := b.Dump(); after != before {
			t.Fatalf("seed %d: after %s and a rollback the board is\n%s\nwant\n%s", seed, strings.Join(done, "; "), after, before)
		}
	}
}

// What Dirty names is enough to put a Board together again.
func TestDirtyIsAllThatChanged(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 4))
		b := core.NewBoard()
		standings, rolled := map[string]core.Standing{}, map[core.Subject]core.Rolled{}
		for i := range 120 {
			operate(r, b, i)
			if r.IntN(4) > 0 {
				continue
			}
			if r.IntN(5) == 0 {
				b.Rollback()
				continue
			}
			b.Dirty(func(a core.Assignment, s core.Standing) { standings[a.ID] = s },
				func(r core.Rolled) { rolled[r.Subject] = r }, func(gone core.Subject) { delete(rolled, gone) })
			b.Commit()
		}
		b.Rollback()
		for id, s := range standings {
			if got, ok := b.Standing(id); ok && fmt.Sprint(got) != fmt.Sprint(s) {
				t.Fatalf("seed %d: standing of %s is %+v and was last named as %+v", seed, id, got, s)
			}
		}
		for _, kind := range []core.SubjectKind{core.OfSystem, core.OfGroup} {
			for i := range 6 {
				subject, of := core.Subject{Kind: kind, ID: fmt.Sprintf("s%d", i)}, b.System
				if kind == core.OfGroup {
					subject.ID, of = fmt.Sprintf("g%d", i), b.Group
				}
				got, ok := of(subject.ID)
				want, named := rolled[subject]
				if ok != named || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
					t.Fatalf("seed %d: %v is %+v (%v) and was last named as %+v (%v)", seed, subject, got, ok, want, named)
				}
			}
		}
	}
}

// Whatever happens, a System is the worst of its enabled Assignments, its
// Transitions join, and loading what is stored gives the same health.
func TestBoardInvariants(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 5))
		b := core.NewBoard()
		var systems []core.System
		var assignments []core.Assignment
		for i := range 4 {
			s := core.System{ID: fmt.Sprintf("s%d", i), Groups: []string{"g"}}
			systems = append(systems, s)
			assignments = append(assignments, assignment(s.ID, "http"), assignment(s.ID, "tcp"))
		}
		b.Configure(core.Change{PutSystems: systems, PutAssignments: assignments}, start)
		health := map[core.Subject]core.Health{}
		for i := range 200 {
			run := runOf(i, core.Outcome(r.IntN(4)))
			run.Assignment = assignments[r.IntN(len(assignments))].ID
			for _, c := range b.Record(run) {
				if health[c.Subject] != c.From || c.From == c.To {
					t.Fatalf("seed %d, run %d: %v goes from %v to %v and was %v", seed, i, c.Subject, c.From, c.To, health[c.Subject])
				}
				health[c.Subject] = c.To
			}
			group := core.Healthy
			for _, s := range systems {
				worst := core.Healthy
				for _, check := range []string{"http", "tcp"} {
					if st, _ := b.Standing(core.AssignmentID(s.ID, check)); st.Health.Severity() > worst.Severity() {
						worst = st.Health
					}
				}
				if got, _ := b.System(s.ID); got.Health != worst || health[got.Subject] != worst {
					t.Fatalf("seed %d, run %d: %s is %v, in transitions %v, want %v", seed, i, s.ID, got.Health, health[got.Subject], worst)
				}
				if worst.Severity() > group.Severity() {
					group = worst
				}
			}
			if got, _ := b.Group("g"); got.Health != group {
				t.Fatalf("seed %d, run %d: the group is %v, want %v", seed, i, got.Health, group)
			}
		}
		standings, rolled := map[string]core.Standing{}, []core.Rolled{}
		b.Dirty(func(a core.Assignment, s core.Standing) { standings[a.ID] = s }, func(r core.Rolled) { rolled = append(rolled, r) }, func(core.Subject) {})
		b.Commit()
		loaded := core.NewBoard()
		loaded.Load(systems, assignments, standings, rolled, start)
		if loaded.Dump() != b.Dump() {
			t.Fatalf("seed %d: loaded board is\n%s\nwant\n%s", seed, loaded.Dump(), b.Dump())
		}
	}
}
