package rules_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

var update = flag.Bool("update", false, "rewrite the expected parts of the stories")

// day is when stories happen; their lines tell the time of day.
var day = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// TestStories plays each testdata/stories/*.txtar: rules (*.json), a script and
// the decisions that are expected of it. A line of the script is a time of day
// and
//
//	SUBJECT FROM TO        a transition; a subject is a system, system:check or @group
//	SUBJECT FROM TO AT T   the same, recorded now but happened at T
//	SUBJECT FROM unknown removed
//	wake                   the timers that are due
//	restart                a new machine from what was stored
//	again                  the newest transition is delivered once more
//	rules NAME...          from now on there are the rules of these files
//	maintenance SYSTEM FROM TO, silence SYSTEM|- FROM TO [MATCH], expire SILENCE
//	done                   all firings are final
//	run ASSIGNMENT OUTCOME [NAME=VALUE ...]
//	explain SUBJECT RULE   why it does not fire, and when it could
//
// Each time, the timers that are due strictly before run first, as in the log.
func TestStories(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/stories/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("find stories: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatalf("read story: %v", err)
			}
			got := play(t, archive)
			want := part(archive, "want")
			if *update {
				setPart(archive, "want", got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func part(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func setPart(a *txtar.Archive, name, data string) {
	for i := range a.Files {
		if a.Files[i].Name == name {
			a.Files[i].Data = []byte(data)
			return
		}
	}
	a.Files = append(a.Files, txtar.File{Name: name, Data: []byte(data)})
}

// teller plays a story.
type teller struct {
	t       *testing.T
	a       *txtar.Archive
	m       *rules.Machine
	c       *rules.Compiler
	saved   []rules.Saved
	catalog rules.Catalog
	state   map[string][]byte
	health  map[core.Subject]core.Transition
	active  []core.Firing
	last    core.Transition
	seq     int64
	runs    []*core.Run
	out     strings.Builder
}

func play(t *testing.T, a *txtar.Archive) string {
	t.Helper()
	c, err := rules.NewCompiler(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &teller{t: t, a: a, c: c, state: map[string][]byte{}, health: map[core.Subject]core.Transition{}}
	if text := part(a, "systems.json"); text != "" {
		decode(t, text, &s.catalog.Systems)
	}
	for _, f := range a.Files {
		if strings.HasPrefix(f.Name, "rule") && strings.HasSuffix(f.Name, ".json") && (f.Name == "rule.json" || part(a, "rule.json") == "" && len(s.saved) == 0) {
			s.saved = append(s.saved, rules.Saved{Rule: s.rule(f.Name)})
		}
	}
	s.boot(day)
	for line := range strings.Lines(part(a, "script")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		s.do(at(t, words[0]), words[1:])
	}
	return s.out.String()
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("decode %s: %v", text, err)
	}
}

func at(t *testing.T, clock string) time.Time {
	t.Helper()
	layout := "15:04:05.999999999"
	parsed, err := time.Parse(layout, clock)
	if err != nil {
		t.Fatalf("time of day: %v", err)
	}
	return day.Add(parsed.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)))
}

func (s *teller) rule(file string) core.Rule {
	var r core.Rule
	decode(s.t, part(s.a, file), &r)
	return r
}

// boot makes a machine from what was stored.
func (s *teller) boot(now time.Time) {
	s.m = rules.NewMachine(s.c, rules.MachineOptions{})
	s.m.Restore(s.seq, s.state)
	s.m.SkipRuns(int64(len(s.runs)))
	for subject, t := range s.health {
		s.m.SetHealth(subject, t.To, t.At)
	}
	s.tell(s.m.Active(s.active, now))
	s.tell(s.m.SetCatalog(s.catalog, time.Time{}))
	s.tell(s.m.SetRules(s.saved, now))
}

func subject(name string) core.Subject {
	switch {
	case strings.HasPrefix(name, "@"):
		return core.Subject{Kind: core.OfGroup, ID: name[1:]}
	case strings.Contains(name, ":"):
		return core.Subject{Kind: core.OfAssignment, ID: name}
	}
	return core.Subject{Kind: core.OfSystem, ID: name}
}

func (s *teller) do(now time.Time, words []string) {
	switch words[0] {
	case "wake":
		s.tell(s.m.Wake(now))
	case "restart":
		fmt.Fprintf(&s.out, "%s restart\n", now.Format("15:04:05"))
		s.boot(now)
	case "again":
		s.tell(s.m.Feed(s.last, now))
	case "done":
		s.active = nil
		s.tell(s.m.Active(nil, now))
	case "run":
		s.run(now, words[1:])
	case "explain":
		s.explain(now, subject(words[1]), words[2])
	case "rules":
		s.saved = nil
		for _, name := range words[1:] {
			s.saved = append(s.saved, rules.Saved{Rule: s.rule(name), At: now})
		}
		s.tell(s.m.SetRules(s.saved, now))
	case "maintenance", "silence":
		who := core.Selector{Names: []string{words[1]}}
		starts, ends := at(s.t, words[2]), at(s.t, words[3])
		if words[0] == "silence" {
			if words[1] == "-" {
				who = core.Selector{}
			}
			s.catalog.Silences = append(s.catalog.Silences, core.Silence{
				ID: fmt.Sprintf("s%d", len(s.catalog.Silences)+1), Systems: who, Match: strings.Join(words[4:], " "), Starts: starts, Ends: ends, Comment: "known",
			})
		} else {
			s.catalog.Maintenances = append(s.catalog.Maintenances, core.Maintenance{ID: "m", Systems: who, Starts: starts, Ends: ends})
		}
		s.tell(s.m.SetCatalog(s.catalog, now))
	case "expire":
		s.catalog.Silences = slices.DeleteFunc(s.catalog.Silences, func(o core.Silence) bool { return o.ID == words[1] })
		s.tell(s.m.SetCatalog(s.catalog, now))
	default:
		s.transition(now, words)
	}
}

// explain writes an explanation down: the answer, what it waits for, and the
// stages, of which the failing part of a condition is shown.
func (s *teller) explain(now time.Time, of core.Subject, rule string) {
	change, known := s.health[of]
	if !known {
		change = core.Transition{}
	}
	x, ok := s.m.Explain(rule, of, rules.Newest{Change: change, Run: s.newest(of)}, now)
	if !ok {
		s.t.Fatalf("explain %s: it is not in use", rule)
	}
	fmt.Fprintf(&s.out, "%s EXPLAIN %s\n", stamp(now), short(x.Text, x.Revision))
	if x.Need != "" {
		fmt.Fprintf(&s.out, "           need %s\n", x.Need)
	}
	if x.NextAt != nil {
		fmt.Fprintf(&s.out, "           next %s\n", stamp(*x.NextAt))
	}
	for _, r := range x.Stages {
		mark := "ok"
		if !r.OK {
			mark = "NO"
		}
		fmt.Fprintf(&s.out, "           %s %s %s\n", mark, r.Stage, r.Text)
		for _, n := range r.Nodes {
			if n.Skipped {
				n.Value = "(skipped)"
			}
			fmt.Fprintf(&s.out, "             %s%s = %s\n", strings.Repeat("  ", n.Depth), n.Expr, n.Value)
		}
	}
}

// newest is the newest run of a subject.
func (s *teller) newest(of core.Subject) *core.Run {
	for _, run := range slices.Backward(s.runs) {
		if run.Assignment == of.ID {
			return run
		}
	}
	return nil
}

// run plays a run: of ASSIGNMENT OUTCOME [NAME=VALUE ...].
func (s *teller) run(now time.Time, words []string) {
	r := &core.Run{ID: int64(len(s.runs) + 1), Assignment: words[0], Ended: now, Samples: core.Samples{}, Why: core.Because("story", "as told")}
	if err := r.Outcome.UnmarshalText([]byte(words[1])); err != nil {
		s.t.Fatal(err)
	}
	for _, pair := range words[2:] {
		name, text, _ := strings.Cut(pair, "=")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		r.Samples[name] = v
	}
	s.runs = append(s.runs, r)
	s.tell(s.m.FeedRun(r, now))
}

func (s *teller) transition(now time.Time, words []string) {
	s.seq++
	t := core.Transition{Seq: s.seq, At: now, Subject: subject(words[0]), Cause: core.CauseRun, HealthyChecks: 0, TotalChecks: 1, Why: core.Because("story", "as told")}
	if t.From.UnmarshalText([]byte(words[1])) != nil || t.To.UnmarshalText([]byte(words[2])) != nil {
		s.t.Fatalf("%q is not a transition", words)
	}
	if len(words) > 3 && words[3] == "removed" {
		t.Removed, t.Cause = true, core.CauseConfig
	}
	if len(words) > 4 && words[3] == "AT" {
		t.At = at(s.t, words[4])
	}
	s.last = t
	s.health[t.Subject] = t
	s.tell(s.m.Feed(t, now))
}

// tell writes down what came of a step and stores what changed.
func (s *teller) tell(outputs []rules.Output) {
	for key, text := range s.m.Changes() {
		if s.state[key] = text; text == nil {
			delete(s.state, key)
		}
	}
	for _, o := range outputs {
		switch {
		case o.Decision != nil:
			s.out.WriteString(decision(o.Decision))
		case o.Firing != nil:
			f := o.Firing
			kind := "FIRING"
			if f.Recovery {
				kind = "RECOVER"
			}
			fmt.Fprintf(&s.out, "%s   %s %s: %s\n", stamp(f.At), kind, short(f.ID, f.Revision), f.Why)
			if len(f.Steps) > 0 {
				s.active = append(s.active, *f)
			}
		default:
			fmt.Fprintf(&s.out, "           CANCEL %s\n", o.Cancel[:strings.Index(o.Cancel, "~")]+o.Cancel[strings.Index(o.Cancel, "~")+9:])
			s.active = slices.DeleteFunc(s.active, func(f core.Firing) bool { return f.ID == o.Cancel })
		}
	}
}

func stamp(t time.Time) string { return t.Format("15:04:05.999999999") }

// short is an id without the revision, which every edit of a story changes.
func short(id, revision string) string { return strings.Replace(id, "~"+revision, "", 1) }

func decision(d *core.Decision) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s at %s", stamp(d.At), d.Rule, d.Subject.ID, d.Verdict, d.Stage)
	if d.Partition != "" && d.Partition != d.Subject.ID {
		fmt.Fprintf(&b, " by %s", d.Partition)
	}
	if d.Late {
		b.WriteString(" late")
	}
	if d.NextAt != nil {
		fmt.Fprintf(&b, " next %s", stamp(*d.NextAt))
	}
	for _, r := range d.Stages {
		if r.Stage == d.Stage || r.Failed {
			fmt.Fprintf(&b, " | %s", short(r.Text, d.Revision))
		}
	}
	return b.String() + "\n"
}
