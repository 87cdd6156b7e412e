package rules_test

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
)

// course is a firing that is carried out by a table of what each step comes to.
type course struct {
	t      *testing.T
	firing core.Firing
	rows   []core.Delivery
	began  []string // places in the order in which they began
}

func newCourse(t *testing.T, steps ...core.Step) *course {
	t.Helper()
	p := &course{t: t, firing: core.Firing{ID: "f", Steps: core.Named(steps)}}
	p.follow()
	return p
}

// follow does what Advance says, which must be the same whenever it is asked.
func (p *course) follow() {
	p.t.Helper()
	next := rules.Advance(p.firing, p.rows)
	if again := rules.Advance(p.firing, p.rows); !reflect.DeepEqual(next, again) {
		p.t.Fatalf("asked twice: %+v and %+v", next, again)
	}
	if p.firing.Status != "" && p.firing.Status != core.FiringRunning && len(next.Begin) > 0 {
		p.t.Fatalf("%v begin after the firing is %s", next.Begin, p.firing.Status)
	}
	for _, place := range next.Cancel {
		if d := p.row(place); d.Status == core.DeliveryWaiting {
			d.Status = core.DeliveryCancelled
		}
	}
	for _, d := range next.Begin {
		if was := p.row(d.Place); was != nil {
			if was.Status != core.DeliveryCancelled && was.Status != core.DeliveryDead {
				p.t.Fatalf("%s begins although it is %s", d.Place, was.Status)
			}
			was.Status, was.Output = core.DeliveryWaiting, nil
			continue
		}
		d.ID, d.Status = int64(len(p.rows)+1), core.DeliveryWaiting
		p.rows, p.began = append(p.rows, d), append(p.began, d.Place)
	}
	p.firing.Status = next.Status
}

func (p *course) row(place string) *core.Delivery {
	for i := range p.rows {
		if p.rows[i].Place == place {
			return &p.rows[i]
		}
	}
	return nil
}

// ends lets a step come to something.
func (p *course) ends(place string, status core.DeliveryStatus, output string) {
	p.t.Helper()
	d := p.row(place)
	if d == nil {
		p.t.Fatalf("%s has not begun; there are %q", place, p.began)
	}
	d.Status = status
	if output != "" {
		d.Output = json.RawMessage(output)
	}
	p.follow()
}

func act(id string) core.Step { return core.Step{ID: id, Action: "log"} }

// Each line of a script is a place and what it comes to; then what began, in
// order, and how the firing is.
func TestAdvance(t *testing.T) {
	t.Parallel()
	a, b, c := act("a"), act("b"), act("c")
	goesOn := func(s core.Step) core.Step { s.ContinueOnError = true; return s }
	parallel := core.Step{Parallel: [][]core.Step{{a, b}, {c}}}
	for _, test := range []struct {
		name   string
		steps  []core.Step
		script string
		began  string
		status core.FiringStatus
		wait   string // places that still wait
	}{
		{"nothing", nil, "", "", core.FiringDone, ""},
		{"in order", []core.Step{a, b}, "0 done", "0 1", core.FiringRunning, "1"},
		{"skipped", []core.Step{a, b}, "0 skipped; 1 done", "0 1", core.FiringDone, ""},
		{"death", []core.Step{a, b}, "0 dead", "0", core.FiringFailed, ""},
		{"passed over", []core.Step{goesOn(a), b}, "0 dead; 1 done", "0 1", core.FiringDone, ""},
		{"then", []core.Step{{If: "x", Then: []core.Step{a}, Else: []core.Step{b}}, c}, `0 done {"taken":"then"}; 0.then.0 done`, "0 0.then.0 1", core.FiringRunning, "1"},
		{"else", []core.Step{{If: "x", Then: []core.Step{a}, Else: []core.Step{b}}, c}, `0 done {"taken":"else"}`, "0 0.else.0", core.FiringRunning, "0.else.0"},
		{"no else", []core.Step{{If: "x", Then: []core.Step{a}}, c}, `0 done {"taken":"else"}`, "0 1", core.FiringRunning, "1"},
		{"choose", []core.Step{{Choose: []core.Choice{{Then: []core.Step{a}}, {Then: []core.Step{b}}}}}, `0 done {"taken":"1"}; 0.1.0 done`, "0 0.1.0", core.FiringDone, ""},
		{"choose none", []core.Step{{Choose: []core.Choice{{Then: []core.Step{a}}}, Else: []core.Step{b}}}, `0 done {"taken":"else"}`, "0 0.else.0", core.FiringRunning, "0.else.0"},
		{"parallel begins", []core.Step{parallel, a}, "0 done {}", "0 0.0.0 0.1.0", core.FiringRunning, "0.0.0 0.1.0"},
		{"parallel joins", []core.Step{parallel, act("d")}, "0 done {}; 0.1.0 done; 0.0.0 done; 0.0.1 done", "0 0.0.0 0.1.0 0.0.1 1", core.FiringRunning, "1"},
		{"first error", []core.Step{parallel, act("d")}, "0 done {}; 0.1.0 dead", "0 0.0.0 0.1.0", core.FiringFailed, ""},
		{"first error, one runs", []core.Step{parallel, act("d")}, "0 done {}; 0.0.0 running; 0.1.0 dead", "0 0.0.0 0.1.0", core.FiringRunning, ""},
		{"and ends", []core.Step{parallel, act("d")}, "0 done {}; 0.0.0 running; 0.1.0 dead; 0.0.0 done", "0 0.0.0 0.1.0", core.FiringFailed, ""},
		{"and would be tried again", []core.Step{parallel, act("d")}, "0 done {}; 0.0.0 running; 0.1.0 dead; 0.0.0 waiting", "0 0.0.0 0.1.0", core.FiringFailed, ""},
		{"parallel passed over", []core.Step{goesOn(parallel), act("d")}, "0 done {}; 0.1.0 dead", "0 0.0.0 0.1.0 1", core.FiringRunning, "1"},
		{"passed over when it ends", []core.Step{goesOn(parallel), act("d")}, "0 done {}; 0.0.0 running; 0.1.0 dead", "0 0.0.0 0.1.0", core.FiringRunning, ""},
		{"times", []core.Step{{Repeat: &core.Repeat{Times: 2, Do: []core.Step{a}}}}, `0 done {"count":2}; 0[0].0 done; 0[1].0 done`, "0 0[0].0 0[1].0", core.FiringDone, ""},
		{"no times", []core.Step{{Repeat: &core.Repeat{ForEach: "x", Do: []core.Step{a}}}, b}, `0 done {"count":0}`, "0 1", core.FiringRunning, "1"},
		{"while", []core.Step{{Repeat: &core.Repeat{While: "x", Do: []core.Step{a}}}}, `0 done {}; 0[0] done {"again":true}; 0[0].0 done; 0[1] done {"again":false}`, "0 0[0] 0[0].0 0[1]", core.FiringDone, ""},
		{"at most", []core.Step{{Repeat: &core.Repeat{Until: "x", Max: 1, Do: []core.Step{a}}}}, `0 done {}; 0[0] done {"again":true}; 0[0].0 done`, "0 0[0] 0[0].0", core.FiringDone, ""},
		{"death in a repeat", []core.Step{{ContinueOnError: true, Repeat: &core.Repeat{Times: 3, Do: []core.Step{a}}}, b}, `0 done {"count":3}; 0[0].0 dead`, "0 0[0].0 1", core.FiringRunning, "1"},
		{"stop", []core.Step{{If: "x", Then: []core.Step{{Stop: &core.Stop{}}}}, a}, `0 done {"taken":"then"}; 0.then.0 done {"failed":false}`, "0 0.then.0", core.FiringDone, ""},
		{"stop as failed", []core.Step{{Stop: &core.Stop{}}, a}, `0 done {"failed":true}`, "0", core.FiringFailed, ""},
		{"stop beside others", []core.Step{{ContinueOnError: true, Parallel: [][]core.Step{{a}, {{Stop: &core.Stop{}}}}}}, `0 done {}; 0.1.0 done {"failed":false}`, "0 0.0.0 0.1.0", core.FiringDone, ""},
		{"nested", []core.Step{{Repeat: &core.Repeat{Times: 1, Do: []core.Step{{Parallel: [][]core.Step{{a}, {{If: "x", Then: []core.Step{b}}}}}}}}}, `0 done {"count":1}; 0[0].0 done {}; 0[0].0.0.0 done; 0[0].0.1.0 done {"taken":"then"}; 0[0].0.1.0.then.0 done`, "0 0[0].0 0[0].0.0.0 0[0].0.1.0 0[0].0.1.0.then.0", core.FiringDone, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newCourse(t, test.steps...)
			for line := range strings.SplitSeq(test.script, "; ") {
				if line != "" {
					place, rest, _ := strings.Cut(line, " ")
					status, output, _ := strings.Cut(rest, " ")
					p.ends(place, core.DeliveryStatus(status), output)
				}
			}
			var wait []string
			for _, d := range p.rows {
				if d.Status == core.DeliveryWaiting {
					wait = append(wait, d.Place)
				}
			}
			if got := strings.Join(p.began, " "); got != test.began || p.firing.Status != test.status || strings.Join(wait, " ") != test.wait {
				t.Errorf("began %s, %q wait, firing %s; want %s, %q, %s", got, wait, p.firing.Status, test.began, test.wait, test.status)
			}
		})
	}
}

// Keys are the idempotency of steps: no two of a firing have the same, and what
// is in a repeat has one for each time.
func TestAdvanceKeys(t *testing.T) {
	t.Parallel()
	p := newCourse(t, core.Step{ID: "r", Repeat: &core.Repeat{Times: 2, Do: []core.Step{{Repeat: &core.Repeat{While: "x", Do: []core.Step{act("send")}}}}}}, core.Step{Action: "log"})
	p.ends("0", core.DeliveryDone, `{"count":2}`)
	for _, line := range []string{`0[0].0 {}`, `0[0].0[0] {"again":true}`, `0[0].0[0].0 {}`, `0[0].0[1] {"again":false}`, `0[1].0 {}`, `0[1].0[0] {"again":false}`} {
		place, output, _ := strings.Cut(line, " ")
		p.ends(place, core.DeliveryDone, output)
	}
	var keys []string
	for _, d := range p.rows {
		keys = append(keys, d.Key)
	}
	want := []string{"f/r", "f/repeat_1_1[0]", "f/repeat_1_1[0][0]", "f/send[0][0]", "f/repeat_1_1[0][1]", "f/repeat_1_1[1]", "f/repeat_1_1[1][0]", "f/log_2"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys are %q, want %q", keys, want)
	}
}

// What happens between two looks at a wait counts at its own time: a node that
// was down does not make it longer, nor overlooks what came and went.
func TestWaitLooks(t *testing.T) {
	t.Parallel()
	const up, down = core.Healthy, core.Unhealthy
	type changes = map[int]core.Health
	minutes := func(n int) core.Duration { return core.Duration(time.Duration(n) * time.Minute) }
	for _, test := range []struct {
		name    string
		holds   int
		health  changes
		looks   []int
		outcome string
		minute  float64
	}{
		{"looks again at the timeout", 10, nil, []int{0}, "", 60},
		{"times out", 10, nil, []int{0, 60}, "timeout", 60},
		{"times out while nobody looks", 10, changes{70: up}, []int{0, 200}, "timeout", 60},
		{"met at once", 0, changes{0: up}, []int{0}, "met", 0},
		{"met when it comes", 0, changes{5: up}, []int{0, 5}, "met", 5},
		{"must hold", 10, changes{5: up}, []int{0, 5}, "", 15},
		{"has held", 10, changes{5: up}, []int{0, 5, 15}, "met", 15},
		{"held while nobody looked", 10, changes{5: up, 20: down}, []int{0, 40}, "met", 15},
		{"began anew", 10, changes{5: up, 9: down, 12: up}, []int{0, 5, 9, 12, 22}, "met", 22},
		{"began anew while nobody looked", 10, changes{5: up, 9: down, 12: up}, []int{0, 15}, "", 22},
		{"fell at the last moment", 10, changes{5: up, 14: down}, []int{0, 5, 15}, "", 60},
		{"held too late", 10, changes{55: up}, []int{0, 55}, "", 60},
		{"held until just the end", 10, changes{50: up}, []int{0, 50, 90}, "met", 60},
	} {
		w := core.Wait{For: minutes(test.holds), Timeout: minutes(60)}
		if outcome, minute := rules.Looks(w, test.health, test.looks...); outcome != test.outcome || minute != test.minute {
			t.Errorf("%s: %q in minute %g, want %q in %g", test.name, outcome, minute, test.outcome, test.minute)
		}
	}
}

// flowCases is how many programs the property tests play.
const flowCases = 1500

// Whatever the order in which steps end, and however often a process is killed
// and a result comes twice, the same steps are done, and each after those that
// it must wait for. acceptance 31, 32.
func TestAdvanceProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(flowCases) {
		random := rand.New(rand.NewPCG(seed, 1))
		fatal := seed%2 == 0 // steps fail and stop anywhere
		g := generator{random: random, left: 14, fatal: fatal}
		steps := core.Named(g.list(0, false))
		o := oracle{seed: seed, steps: steps}
		var first []string
		var status core.FiringStatus
		for order := range 3 {
			p := newCourse(t, steps...)
			o.run(p, rand.New(rand.NewPCG(seed, uint64(order)+7)))
			o.check(p)
			sorted := slices.Sorted(slices.Values(p.began))
			switch {
			case fatal: // what began before the first error depends on the order
			case order == 0:
				first, status = sorted, p.firing.Status
				if want := slices.Sorted(slices.Values(o.naive(steps, "", nil))); !slices.Equal(sorted, want) {
					t.Fatalf("seed %d: %s began\n%q, want\n%q", seed, describe(steps), sorted, want)
				}
			case !slices.Equal(sorted, first) || p.firing.Status != status:
				t.Fatalf("seed %d: another order gives %s %q and not %s %q", seed, p.firing.Status, sorted, status, first)
			}
		}
	}
}

func describe(steps []core.Step) string {
	text, err := json.Marshal(steps)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// generator makes programs.
type generator struct {
	random *rand.Rand
	left   int
	fatal  bool
}

func (g *generator) list(depth int, beside bool) []core.Step {
	var out []core.Step
	for n := g.random.IntN(3) + 1; n > 0 && g.left > 0; n-- {
		g.left--
		out = append(out, g.step(depth, beside))
	}
	return out
}

// step makes a step; beside: in a parallel, where without fatal nothing fails.
func (g *generator) step(depth int, beside bool) core.Step {
	kind := g.random.IntN(9)
	if depth > 2 && kind < 5 {
		kind = 8
	}
	s := core.Step{ContinueOnError: g.random.IntN(3) == 0}
	switch kind {
	case 0:
		s.If, s.Then = "x", g.list(depth+1, beside)
		if g.random.IntN(2) == 0 {
			s.Else = g.list(depth+1, beside)
		}
		if s.Then == nil {
			s.Then = []core.Step{{Action: "log"}}
		}
	case 1:
		s.Choose, s.Else = []core.Choice{{When: "x", Then: g.list(depth+1, beside)}, {When: "y", Then: g.list(depth+1, beside)}}, g.list(depth+1, beside)
	case 2:
		s.Parallel = [][]core.Step{g.list(depth+1, true), g.list(depth+1, true)}
	case 3:
		s.Repeat = &core.Repeat{Times: g.random.IntN(2) + 1, Do: g.list(depth+1, beside)}
	case 4:
		s.Repeat = &core.Repeat{While: "x", Max: 2, Do: g.list(depth+1, beside)}
	case 5:
		s.Delay = 1
	case 6:
		if !beside || g.fatal {
			s.Stop = &core.Stop{}
			break
		}
		s.Wait = &core.Wait{}
	default:
		s.Action = "log"
		s.ContinueOnError = s.ContinueOnError || beside && !g.fatal
	}
	return s
}

// oracle knows what each step comes to.
type oracle struct {
	seed  uint64
	steps []core.Step
}

func (o oracle) number(place string, below uint64) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s", o.seed, place)
	return h.Sum64() % below
}

// of is what the step at a place comes to.
func (o oracle) of(kind, place string, s core.Step) (core.DeliveryStatus, string) {
	n := o.number(place, 12)
	switch kind {
	case "log":
		switch n {
		case 0:
			return core.DeliveryDead, ""
		case 1:
			return core.DeliverySkipped, ""
		}
	case "if":
		return core.DeliveryDone, `{"taken":"` + []string{"then", "else"}[n%2] + `"}`
	case "choose":
		return core.DeliveryDone, `{"taken":"` + []string{"0", "1", "else"}[n%3] + `"}`
	case "repeat":
		if strings.HasSuffix(place, "]") {
			return core.DeliveryDone, fmt.Sprintf(`{"again":%v}`, n%2 == 0)
		}
		return core.DeliveryDone, fmt.Sprintf(`{"count":%d}`, s.Repeat.Times)
	case "stop":
		return core.DeliveryDone, fmt.Sprintf(`{"failed":%v}`, n%2 == 0)
	}
	return core.DeliveryDone, "{}"
}

// run carries a course out in some order, with crashes and repetitions.
func (o oracle) run(p *course, random *rand.Rand) {
	for n := 0; p.firing.Status == core.FiringRunning; n++ {
		if n > 5000 {
			p.t.Fatalf("seed %d: %s does not end", o.seed, describe(o.steps))
		}
		var open []int
		for i, d := range p.rows {
			if d.Status == core.DeliveryWaiting || d.Status == core.DeliveryRunning {
				open = append(open, i)
			}
		}
		if len(open) == 0 {
			p.t.Fatalf("seed %d: %s hangs after %q", o.seed, describe(o.steps), p.began)
		}
		d := &p.rows[open[random.IntN(len(open))]]
		switch event := random.IntN(8); {
		case d.Status == core.DeliveryWaiting:
			d.Status = core.DeliveryRunning
		case event == 0: // its process was killed, and another has claimed it
		case event == 1: // it is tried again
			d.Status = core.DeliveryWaiting
			p.follow()
		case event == 2: // all that is known is read anew
			text, err := json.Marshal(p.rows)
			if err != nil {
				p.t.Fatal(err)
			}
			p.rows = nil
			if err := json.Unmarshal(text, &p.rows); err != nil {
				p.t.Fatal(err)
			}
		default:
			status, output := o.of(d.Kind, d.Place, d.Step)
			p.ends(d.Place, status, output)
			p.follow() // a result that comes twice changes nothing
		}
	}
}

// check holds a course that has ended to what must be so in any order.
func (o oracle) check(p *course) {
	p.t.Helper()
	seen := map[string]bool{}
	for _, d := range p.rows {
		if seen[d.Place] || seen[d.Key] {
			p.t.Fatalf("seed %d: %s is there twice", o.seed, d.Place)
		}
		seen[d.Place], seen[d.Key] = true, true
		if d.Status == core.DeliveryWaiting || d.Status == core.DeliveryRunning {
			p.t.Fatalf("seed %d: %s is %s and the firing %s", o.seed, d.Place, d.Status, p.firing.Status)
		}
	}
	if next := rules.Advance(p.firing, p.rows); next.Status != p.firing.Status || len(next.Begin)+len(next.Cancel) > 0 {
		p.t.Fatalf("seed %d: after the end follows %+v", o.seed, next)
	}
}

// naive lists the places that begin when steps are done one after another, and
// branches of a parallel too; it ends when a step fails or stops.
func (o oracle) naive(steps []core.Step, prefix string, ended *string) []string {
	var out []string
	if ended == nil {
		ended = new(string)
	}
	for i, s := range steps {
		place := fmt.Sprint(prefix, i)
		out = append(out, place)
		status, output := o.of(s.Kind(), place, s)
		if status == core.DeliveryDead && !s.ContinueOnError {
			*ended = "failed"
			return out
		}
		if status != core.DeliveryDone {
			continue
		}
		var said struct {
			Taken string `json:"taken"`
			Again bool   `json:"again"`
		}
		if json.Unmarshal([]byte(output), &said) != nil {
			said.Taken = ""
		}
		inner := func(list []core.Step, prefix string) bool {
			out = append(out, o.naive(list, prefix, ended)...)
			return *ended == ""
		}
		switch s.Kind() {
		case "if":
			inner(map[string][]core.Step{"then": s.Then, "else": s.Else}[said.Taken], place+"."+said.Taken+".")
		case "choose":
			list := s.Else
			if said.Taken != "else" {
				list = s.Choose[said.Taken[0]-'0'].Then
			}
			inner(list, place+"."+said.Taken+".")
		case "parallel":
			for n, list := range s.Parallel {
				inner(list, fmt.Sprintf("%s.%d.", place, n))
			}
		case "repeat":
			for k := range max(s.Repeat.Times, s.Repeat.Max) {
				at := fmt.Sprintf("%s[%d]", place, k)
				if s.Repeat.While != "" {
					out = append(out, at)
					if _, said := o.of("repeat", at, s); said != `{"again":true}` {
						break
					}
				}
				if !inner(s.Repeat.Do, at+".") {
					break
				}
			}
		case "stop":
			*ended = "stopped"
		}
		if *ended == "failed" && s.ContinueOnError {
			*ended = ""
		}
		if *ended != "" {
			return out
		}
	}
	return out
}

var _ store.Flow = rules.Advance
