package rules

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
)

// storyDay is when stories happen; their lines tell the time of day.
var storyDay = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant

// Story is what rules make of made-up events, and what is expected of them: a
// txtar archive with these files.
//
//	*.yaml, *.yml  manifests: rules, and systems with their tags and dependencies
//	*.json         one rule each, as the API has it; systems.json a list of systems
//	files          paths of more manifests, relative to the story, one a line
//	script         what happens, one thing a line
//	want           what is expected: the decisions, firings and recoveries
//
// A line of the script is a time of day and one of
//
//	SUBJECT FROM TO         a change of health; a subject is a system, system:check or @group
//	SUBJECT FROM TO AT T    the same, recorded now but happened at T
//	SUBJECT FROM unknown removed
//	run SYSTEM:CHECK pass|warn|fail|error [NAME=VALUE ...]
//	wake                    the timers that are due
//	restart                 a new machine from what was stored
//	again                   the newest change is delivered once more
//	done                    all firings are done; before that their steps still run
//	rules NAME...           from now on there are the rules of these files
//	maintenance SYSTEM FROM TO
//	silence SYSTEM|- FROM TO [MATCH], expire SILENCE
//	ack RULE PARTITION [COMMENT], of its newest firing; unack, of all
//	explain SUBJECT RULE    why it does not fire, and when it could
//
// A line that begins with # is a comment. Each time, the timers that are due
// strictly before it run first, as they do live. Without a line "rules" in the
// script, the rules are those of the manifests, or else of rule.json or the first
// rule*.json.
type Story struct {
	name    string
	archive *txtar.Archive
	files   map[string][]core.Rule
	first   []core.Rule
	systems []core.System
}

// ReadStory reads a story. The name is for messages, and read opens the paths
// that it names, which are relative to it.
func ReadStory(name string, text []byte, read func(path string) ([]byte, error)) (*Story, error) {
	s := &Story{name: name, archive: txtar.Parse(text), files: map[string][]core.Rule{}}
	for i := range s.archive.Files {
		f := &s.archive.Files[i]
		if err := s.add(f.Name, f.Data); err != nil {
			return nil, err
		}
	}
	for path := range strings.FieldsSeq(s.File("files")) {
		text, err := read(filepath.Join(filepath.Dir(name), path))
		if err != nil {
			return nil, fmt.Errorf("%s: files: %w", name, err)
		}
		if err := s.manifests(path, text); err != nil {
			return nil, err
		}
	}
	switch {
	case s.File("script") == "":
		return nil, fmt.Errorf("%s: there is no script; write -- script -- and below it what happens, for example 10:00:00 web healthy unhealthy", name)
	case len(s.files) == 0:
		return nil, fmt.Errorf("%s: there is no rule; write -- rule.yaml -- and its manifest below it, or -- files -- and its path", name)
	}
	return s, nil
}

// add takes one file of the archive.
func (s *Story) add(name string, text []byte) error {
	switch ext := filepath.Ext(name); {
	case name == "systems.json":
		return s.decode(name, text, &s.systems)
	case ext == ".yaml" || ext == ".yml":
		return s.manifests(name, text)
	case ext == ".json":
		var r core.Rule
		if err := s.decode(name, text, &r); err != nil {
			return err
		}
		s.files[name] = []core.Rule{r}
		if name == "rule.json" || strings.HasPrefix(name, "rule") && s.File("rule.json") == "" && len(s.first) == 0 {
			s.first = append(s.first, r)
		}
	case name != "script" && name != "want" && name != "files":
		return fmt.Errorf("%s: %s has no place in a story; there are script, want, files, *.yaml and *.json", s.name, name)
	}
	return nil
}

// manifests takes the rules and systems of a manifest.
func (s *Story) manifests(name string, text []byte) error {
	items, problems := manifest.Decode(name, text)
	for _, it := range items {
		switch o := it.Object.(type) {
		case *core.Rule:
			s.files[name] = append(s.files[name], *o)
			s.first = append(s.first, *o)
		case *core.System:
			s.systems = append(s.systems, *o)
		}
	}
	if err := problems.Err(); err != nil {
		return fmt.Errorf("%s: %w", s.name, err)
	}
	return nil
}

func (s *Story) decode(name string, text []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %s: %w", s.name, name, err)
	}
	return nil
}

// File is the text of one of its files, empty when it has none of that name.
func (s *Story) File(name string) string {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// About is what the story says of itself before its first file.
func (s *Story) About() string { return strings.TrimSpace(string(s.archive.Comment)) }

// Want is what the story expects.
func (s *Story) Want() string { return s.File("want") }

// Diff says how what came of the story differs from what it expects, empty when
// it does not.
func (s *Story) Diff(got string) string {
	return string(diff.Diff("want", []byte(s.Want()), "got", []byte(got)))
}

// Rewrite is the story with what came of it as what it expects.
func (s *Story) Rewrite(got string) []byte {
	for i := range s.archive.Files {
		if s.archive.Files[i].Name == "want" {
			s.archive.Files[i].Data = []byte(got)
			return txtar.Format(s.archive)
		}
	}
	s.archive.Files = append(s.archive.Files, txtar.File{Name: "want", Data: []byte(got)})
	return txtar.Format(s.archive)
}

// Play tells the story to a Machine and writes down what comes of it. An error
// names the line of the script.
func (s *Story) Play(c *Compiler) (string, error) {
	t := &teller{
		c: c, story: s, state: map[string][]byte{}, health: map[core.Subject]core.Transition{}, catalog: Catalog{Systems: s.systems},
	}
	for _, r := range s.first {
		t.saved = append(t.saved, Saved{Rule: r})
	}
	if err := t.boot(storyDay); err != nil {
		return "", fmt.Errorf("%s: %w", s.name, err)
	}
	n := 0
	for line := range strings.Lines(s.File("script")) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if err := t.line(strings.Fields(line)); err != nil {
			return "", fmt.Errorf("%s: script line %d: %s: %w", s.name, n, line, err)
		}
	}
	return t.out.String(), nil
}

// teller plays a story.
type teller struct {
	c       *Compiler
	story   *Story
	m       *Machine
	saved   []Saved
	catalog Catalog
	state   map[string][]byte
	health  map[core.Subject]core.Transition
	active  []core.Firing
	fired   []core.Firing
	last    core.Transition
	seq     int64
	runs    []*core.Run
	out     strings.Builder
}

func timeOfDay(clock string) (time.Time, error) {
	parsed, err := time.Parse("15:04:05.999999999", clock)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time of day such as 10:00:00", clock)
	}
	return storyDay.Add(parsed.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))), nil
}

// boot makes a machine from what was stored.
func (t *teller) boot(now time.Time) error {
	t.m = NewMachine(t.c, MachineOptions{})
	t.m.Restore(t.seq, t.state)
	t.m.SkipRuns(int64(len(t.runs)))
	for subject, last := range t.health {
		t.m.SetHealth(subject, last.To, last.At)
	}
	t.tell(t.m.Active(t.active, now))
	t.tell(t.m.SetCatalog(t.catalog, time.Time{}))
	return t.use(now)
}

// use puts the rules to use.
func (t *teller) use(now time.Time) error {
	t.tell(t.m.SetRules(t.saved, now))
	var problems core.Problems
	sick := t.m.Quarantined()
	for _, s := range t.saved {
		problems = append(problems, sick[s.Rule.ID].Under("rule "+s.Rule.ID)...)
	}
	return problems.Err()
}

func storySubject(name string) core.Subject {
	switch {
	case strings.HasPrefix(name, "@"):
		return core.Subject{Kind: core.OfGroup, ID: name[1:]}
	case strings.Contains(name, ":"):
		return core.Subject{Kind: core.OfAssignment, ID: name}
	}
	return core.Subject{Kind: core.OfSystem, ID: name}
}

// acknowledge takes care of the episode of the newest firing of a partition of
// a rule.
func (t *teller) acknowledge(now time.Time, words []string) error {
	for _, f := range slices.Backward(t.fired) {
		if f.Rule == words[1] && f.Partition == words[2] {
			a := core.Acknowledgement{Episode: f.Episode, Rule: f.Rule, By: "anna", Comment: strings.Join(words[3:], " ")}
			t.catalog.Acknowledgements = append(t.catalog.Acknowledgements, a)
			t.tell(t.m.SetCatalog(t.catalog, now))
			return nil
		}
	}
	return fmt.Errorf("rule %s never fired for %s", words[1], words[2])
}

// fewest are how many words follow the word that begins a line.
func fewest(word string) int {
	return map[string]int{"run": 2, "rules": 1, "maintenance": 3, "silence": 3, "expire": 1, "ack": 2, "explain": 2}[word]
}

func (t *teller) line(words []string) error {
	now, err := timeOfDay(words[0])
	if err != nil {
		return err
	}
	if words = words[1:]; len(words) == 0 {
		return errors.New("nothing happens; write for example web healthy unhealthy, run web:http fail or wake")
	}
	if need := fewest(words[0]); len(words) <= need {
		return fmt.Errorf("%s is followed by %d words or more", words[0], need)
	}
	switch words[0] {
	case "wake":
		t.tell(t.m.Wake(now))
	case "restart":
		fmt.Fprintf(&t.out, "%s restart\n", now.Format("15:04:05"))
		return t.boot(now)
	case "again":
		t.tell(t.m.Feed(t.last, now))
	case "done":
		t.active = nil
		t.tell(t.m.Active(nil, now))
	case "run":
		return t.run(now, words[1:])
	case "explain":
		return t.explain(now, storySubject(words[1]), words[2])
	case "rules":
		t.saved = nil
		for _, name := range words[1:] {
			found, ok := t.story.files[name]
			if !ok {
				return fmt.Errorf("the story has no file %s with rules", name)
			}
			for _, r := range found {
				t.saved = append(t.saved, Saved{Rule: r, At: now})
			}
		}
		return t.use(now)
	case "maintenance", "silence":
		return t.spell(now, words)
	case "ack":
		return t.acknowledge(now, words)
	case "unack":
		t.catalog.Acknowledgements = nil
		t.tell(t.m.SetCatalog(t.catalog, now))
	case "expire":
		t.catalog.Silences = slices.DeleteFunc(t.catalog.Silences, func(o core.Silence) bool { return o.ID == words[1] })
		t.tell(t.m.SetCatalog(t.catalog, now))
	default:
		return t.transition(now, words)
	}
	return nil
}

// spell begins to know of a maintenance or a silence.
func (t *teller) spell(now time.Time, words []string) error {
	who := core.Selector{Names: []string{words[1]}}
	starts, err := timeOfDay(words[2])
	if err != nil {
		return err
	}
	ends, err := timeOfDay(words[3])
	if err != nil {
		return err
	}
	if words[0] == "silence" {
		if words[1] == "-" {
			who = core.Selector{}
		}
		t.catalog.Silences = append(t.catalog.Silences, core.Silence{
			ID: fmt.Sprintf("s%d", len(t.catalog.Silences)+1), Systems: who, Match: strings.Join(words[4:], " "), Starts: starts, Ends: ends, Comment: "known",
		})
	} else {
		t.catalog.Maintenances = append(t.catalog.Maintenances, core.Maintenance{ID: "m", Systems: who, Starts: starts, Ends: ends})
	}
	t.tell(t.m.SetCatalog(t.catalog, now))
	return nil
}

// explain writes an explanation down: the answer, what it waits for, and the
// stages, of which the failing part of a condition is shown.
func (t *teller) explain(now time.Time, of core.Subject, rule string) error {
	change, known := t.health[of]
	if !known {
		change = core.Transition{}
	}
	x, ok := t.m.Explain(rule, of, Newest{Change: change, Run: t.newest(of)}, now)
	if !ok {
		return fmt.Errorf("rule %s is not in use", rule)
	}
	fmt.Fprintf(&t.out, "%s EXPLAIN %s\n", stamp(now), short(x.Text, x.Revision))
	if x.Need != "" {
		fmt.Fprintf(&t.out, "           need %s\n", x.Need)
	}
	if x.NextAt != nil {
		fmt.Fprintf(&t.out, "           next %s\n", stamp(*x.NextAt))
	}
	for _, r := range x.Stages {
		mark := "ok"
		if !r.OK {
			mark = "NO"
		}
		fmt.Fprintf(&t.out, "           %s %s %s\n", mark, r.Stage, r.Text)
		for _, n := range r.Nodes {
			if n.Skipped {
				n.Value = "(skipped)"
			}
			fmt.Fprintf(&t.out, "             %s%s = %s\n", strings.Repeat("  ", n.Depth), n.Expr, n.Value)
		}
	}
	return nil
}

// newest is the newest run of a subject.
func (t *teller) newest(of core.Subject) *core.Run {
	for _, run := range slices.Backward(t.runs) {
		if run.Assignment == of.ID {
			return run
		}
	}
	return nil
}

// run plays a run: of ASSIGNMENT OUTCOME [NAME=VALUE ...].
func (t *teller) run(now time.Time, words []string) error {
	r := &core.Run{ID: int64(len(t.runs) + 1), Assignment: words[0], Ended: now, Samples: core.Samples{}, Why: core.Because("story", "as told")}
	if storySubject(words[0]).Kind != core.OfAssignment {
		return errors.New("a run is of a check on a system; write for example run web:http fail")
	}
	if err := r.Outcome.UnmarshalText([]byte(words[1])); err != nil {
		return err
	}
	for _, pair := range words[2:] {
		name, text, _ := strings.Cut(pair, "=")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a sample such as queue=12", pair)
		}
		r.Samples[name] = v
	}
	t.runs = append(t.runs, r)
	t.tell(t.m.FeedRun(r, now))
	return nil
}

func (t *teller) transition(now time.Time, words []string) error {
	change := core.Transition{Seq: t.seq + 1, At: now, Subject: storySubject(words[0]), Cause: core.CauseRun, TotalChecks: 1, Why: core.Because("story", "as told")}
	if len(words) < 3 {
		return errors.New("is not something that happens; write for example web healthy unhealthy, run web:http fail or wake")
	}
	if err := change.From.UnmarshalText([]byte(words[1])); err != nil {
		return err
	}
	if err := change.To.UnmarshalText([]byte(words[2])); err != nil {
		return err
	}
	switch more := words[3:]; {
	case len(more) == 1 && more[0] == "removed":
		change.Removed, change.Cause = true, core.CauseConfig
	case len(more) == 2 && more[0] == "AT":
		at, err := timeOfDay(more[1])
		if err != nil {
			return err
		}
		change.At = at
	case len(more) > 0:
		return fmt.Errorf("%q after a change; there are removed and AT TIME", strings.Join(more, " "))
	}
	t.seq++
	t.last = change
	t.health[change.Subject] = change
	t.tell(t.m.Feed(change, now))
	return nil
}

// tell writes down what came of a step and stores what changed.
func (t *teller) tell(outputs []Output) {
	for key, text := range t.m.Changes() {
		if t.state[key] = text; text == nil {
			delete(t.state, key)
		}
	}
	for _, o := range outputs {
		switch {
		case o.Decision != nil:
			t.out.WriteString(storyDecision(o.Decision))
		case o.Firing != nil:
			f := o.Firing
			kind := "FIRING"
			if f.Recovery {
				kind = "RECOVER"
			}
			fmt.Fprintf(&t.out, "%s   %s %s: %s\n", stamp(f.At), kind, short(f.ID, f.Revision), f.Why)
			if len(f.Steps) > 0 {
				t.active = append(t.active, *f)
			}
			t.fired = append(t.fired, *f)
		default:
			rule, rest, _ := strings.Cut(o.Cancel, "~")
			revision, _, _ := strings.Cut(rest, "~")
			fmt.Fprintf(&t.out, "           CANCEL %s\n", short(rule+"~"+rest, revision))
			t.active = slices.DeleteFunc(t.active, func(f core.Firing) bool { return f.ID == o.Cancel })
		}
	}
}

func stamp(t time.Time) string { return t.Format("15:04:05.999999999") }

// short is an id without the revision, which every edit of a story changes.
func short(id, revision string) string { return strings.Replace(id, "~"+revision, "", 1) }

func storyDecision(d *core.Decision) string {
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
