package rules

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// ReplayInput is what [Replay] plays.
type ReplayInput struct {
	Check   core.Check
	Rules   []core.Rule
	Systems []core.System // those that the runs name and that are not here have no tags
	// Runs is one JSON object a line: {"at": RFC 3339, "system": ID,
	// "outcome": "pass|warn|fail|error"}, and optionally samples and summary.
	// Times may repeat but not go back.
	Runs io.Reader
	// Until is how long timers are followed. Zero is the last run plus the
	// longest timer of the rules; then silence after the last run is not taken
	// for staleness.
	Until time.Time
}

// replayRun is one line of the input.
type replayRun struct {
	At      *time.Time    `json:"at"`
	System  string        `json:"system"`
	Outcome *core.Outcome `json:"outcome"`
	Samples core.Samples  `json:"samples"`
	Summary string        `json:"summary"`
}

type replayTransition struct {
	Kind string `json:"kind"`
	core.Transition
}

type replayDecision struct {
	Kind string `json:"kind"`
	*core.Decision
}

type replayFiring struct {
	Kind string `json:"kind"`
	*core.Firing
}

// Replay plays runs through a check's policy and through rules, as the server
// would, with no server and no database, and writes one JSON object a line:
// {"kind": "transition"|"decision"|"firing"|"recover", "at": ...} with the
// fields of [core.Transition], [core.Decision] and [core.Firing], in order of
// time. Timers fire at their own instants. Nothing is carried out, and every
// firing counts as done at once. A line of the input that is wrong ends it with
// an error that names the line.
//
// A check with a cron schedule does not become stale here.
func Replay(ctx context.Context, in ReplayInput, out io.Writer) error {
	compiler, err := NewCompiler(nil)
	if err != nil {
		return err
	}
	var problems core.Problems
	for i, r := range in.Rules {
		_, bad := compiler.Compile(r)
		problems = append(problems, bad.Under(fmt.Sprintf("rules[%d]", i))...)
	}
	problems = append(problems, in.Check.Policy.Validate().Under("check.policy")...)
	if err := problems.Err(); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	p := &player{
		check: in.Check, board: core.NewBoard(), out: bufio.NewWriter(out),
		machine: NewMachine(compiler, MachineOptions{Explain: true, Instant: true}),
		seats:   map[string]time.Time{}, forever: !in.Until.IsZero(),
	}
	p.encoder = json.NewEncoder(p.out)
	p.systems = append(p.systems, in.Systems...)
	saved := make([]Saved, len(in.Rules))
	for i, r := range in.Rules {
		saved[i] = Saved{Rule: r}
	}
	p.learn(time.Time{})
	p.machine.SetRules(saved, time.Time{})
	if err := p.play(ctx, in); err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	if err := p.out.Flush(); err != nil {
		return fmt.Errorf("write replay: %w", err)
	}
	return nil
}

// player is a replay in progress.
type player struct {
	check   core.Check
	systems []core.System
	board   *core.Board
	machine *Machine
	out     *bufio.Writer
	encoder *json.Encoder
	seats   map[string]time.Time // by assignment: its newest run
	seq     int64
	runs    int64
	now     time.Time
	forever bool // silence after the last run is staleness
}

// learn tells board and machine of the systems.
func (p *player) learn(now time.Time) {
	p.machine.SetCatalog(Catalog{Systems: p.systems, Checks: []core.Check{p.check}}, now)
	p.board.Configure(core.Change{PutSystems: p.systems}, now)
	p.board.Commit()
}

func (p *player) play(ctx context.Context, in ReplayInput) error {
	scan := bufio.NewScanner(in.Runs)
	scan.Buffer(make([]byte, 0, 64<<10), 4<<20)
	line := 0
	for scan.Scan() {
		line++
		if err := ctx.Err(); err != nil {
			return err
		}
		text := bytes.TrimSpace(scan.Bytes())
		if len(text) == 0 {
			continue
		}
		run, err := parseRun(text)
		if err == nil && run.At.Before(p.now) {
			err = fmt.Errorf("at %s is before the line above, %s", run.At.Format(time.RFC3339Nano), p.now.Format(time.RFC3339Nano))
		}
		if err != nil {
			return fmt.Errorf("runs line %d: %w", line, err)
		}
		if !in.Until.IsZero() && run.At.After(in.Until) {
			break
		}
		if err := p.record(run); err != nil {
			return err
		}
	}
	if err := scan.Err(); err != nil {
		return fmt.Errorf("runs line %d: %w", line+1, err)
	}
	until := in.Until
	if until.IsZero() {
		until = p.now.Add(longest(in.Rules))
	}
	return p.pass(until, p.forever, true)
}

func parseRun(text []byte) (replayRun, error) {
	var run replayRun
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&run); err != nil {
		return run, readable(err)
	}
	if d.More() {
		return run, errors.New("more than one JSON object; write one a line")
	}
	switch {
	case run.At == nil:
		return run, errors.New(`"at" is missing; write an RFC 3339 time`)
	case run.System == "":
		return run, errors.New(`"system" is missing`)
	case run.Outcome == nil:
		return run, errors.New(`"outcome" is missing; write pass, warn, fail or error`)
	}
	if err := core.CheckName(run.System); err != nil {
		return run, fmt.Errorf("system: %w", err)
	}
	return run, nil
}

// readable is an error of the JSON decoder in words for people who write runs.
func readable(err error) error {
	if bad, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%q cannot be %s", bad.Field, bad.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return fmt.Errorf("unknown field %s; there are at, system, outcome, samples and summary", name)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("not a JSON object: it ends too early")
	}
	return err
}

// record plays one run.
func (p *player) record(run replayRun) error {
	at := run.At.UTC()
	id := core.AssignmentID(run.System, p.check.ID)
	if _, known := p.seats[id]; !known {
		p.seat(run.System, id, at)
	}
	if err := p.pass(at, true, false); err != nil {
		return err
	}
	p.seats[id] = at
	p.runs++
	r := &core.Run{ID: p.runs, Assignment: id, Due: at, Started: at, Ended: at, Outcome: *run.Outcome, Summary: run.Summary, Samples: run.Samples}
	if r.Outcome != core.Pass {
		r.Why = core.Because("replay", "{outcome}", "outcome", cmpOr(run.Summary, "the run was "+run.Outcome.String()))
	}
	changes := slices.Clone(p.board.Record(r))
	p.board.Commit()
	p.now = at
	if err := p.write(p.machine.FeedRun(r, at)); err != nil {
		return err
	}
	return p.feed(changes, at)
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// seat puts an assignment on the board, and its system when it is new.
func (p *player) seat(system, id string, at time.Time) {
	if !slices.ContainsFunc(p.systems, func(s core.System) bool { return s.ID == system }) {
		p.systems = append(p.systems, core.System{ID: system})
		p.learn(at)
	}
	policy, every := p.check.Policy, p.check.Every
	if o, ok := p.check.Overrides[system]; ok {
		if o.Policy != nil {
			policy = *o.Policy
		}
		if o.Every > 0 {
			every = o.Every
		}
	}
	a := core.Assignment{ID: id, System: system, Check: p.check.ID, Enabled: true, Interval: every, Policy: policy}
	a.StaleAfter = every * core.Duration(*policy.WithDefaults().StaleAfter)
	p.board.Configure(core.Change{PutAssignments: []core.Assignment{a}}, at)
	p.board.Commit()
}

// feed gives transitions to the rules and writes everything.
func (p *player) feed(changes []core.Transition, now time.Time) error {
	for _, t := range changes {
		p.seq++
		t.Seq = p.seq
		var before []Output
		p.machine.advance(&before, t.At, false, now)
		if err := p.write(before); err != nil {
			return err
		}
		if err := p.encoder.Encode(replayTransition{"transition", t}); err != nil {
			return fmt.Errorf("write replay: %w", err)
		}
		if err := p.write(p.machine.Feed(t, now)); err != nil {
			return err
		}
	}
	return nil
}

// pass lets time pass until an instant: the timers before it and, when nothing
// else happens at it, those due at it.
func (p *player) pass(until time.Time, stale, last bool) error {
	for {
		due, silent := p.machine.NextWake(), time.Time{}
		if stale {
			silent = p.silent()
		}
		switch {
		case !silent.IsZero() && !silent.After(until) && (due.IsZero() || !due.Before(silent)):
			if err := p.feed(p.expire(silent), silent); err != nil {
				return err
			}
		case !due.IsZero() && (due.Before(until) || last && due.Equal(until)):
			if err := p.write(p.machine.Wake(due)); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// silent is when the next assignment becomes stale, zero for never.
func (p *player) silent() time.Time {
	var next time.Time
	for id, last := range p.seats {
		a, ok := p.board.Assignment(id)
		s, known := p.board.Standing(id)
		if !ok || !known || a.StaleAfter <= 0 || s.Health == core.Stale {
			continue
		}
		// The engine looks each second.
		if at := last.Add(a.StaleAfter.Std() + time.Second); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	return next
}

func (p *player) expire(at time.Time) []core.Transition {
	ids := make([]string, 0, len(p.seats))
	for id := range p.seats {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	changes := slices.Clone(p.board.Expire(ids, at))
	p.board.Commit()
	return changes
}

func (p *player) write(outputs []Output) error {
	for _, o := range outputs {
		var line any
		switch {
		case o.Decision != nil:
			line = replayDecision{"decision", o.Decision}
		case o.Firing != nil && o.Firing.Recovery:
			line = replayFiring{"recover", o.Firing}
		case o.Firing != nil:
			line = replayFiring{"firing", o.Firing}
		default:
			continue
		}
		if err := p.encoder.Encode(line); err != nil {
			return fmt.Errorf("write replay: %w", err)
		}
	}
	return nil
}

// longest is the longest timer of the rules.
func longest(rules []core.Rule) time.Duration {
	var out time.Duration
	for _, r := range rules {
		g := WriteOut(r.Gate)
		all := []time.Duration{g.For.Std() + g.Cooldown.Std()}
		if w := g.Window; w != nil {
			all = append(all, w.Within.Std()+g.For.Std(), w.Quiet.Std()+g.For.Std(), w.Refire.Each.Std())
		}
		for _, text := range []string{r.When, r.Unless, g.While} {
			all = append(all, spans(text)...)
		}
		for _, on := range r.On {
			all = append(all, spans(on.When)...)
		}
		out = max(out, slices.Max(all))
	}
	return out
}
