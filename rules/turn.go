package rules

import (
	"slices"
	"strconv"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// turn is one evaluation of one partition: an event or a timer. It only notes
// what is said; the sentences are written when a decision is made of it, so
// that looking at an event costs next to nothing. A Machine uses one turn again
// and again.
type turn struct {
	facts facts
	at    time.Time
	seq   int64    // of the event, 0 for a timer
	event *event   // nil for a timer
	notes []remark // verdicts of stages, oldest first
	first int      // where those of the next decision begin
	said  []saying
}

// remark is the verdict of one stage.
type remark struct {
	stage   core.Stage
	ok      bool
	failed  bool
	say     phrase
	n, need int
	text    string // unless say writes it
	nodes   []core.ExplainNode
	until   time.Time
	gate    *gate         // that say speaks of
	at      time.Time     // that say speaks of
	span    time.Duration // that say speaks of
}

// phrase is a sentence that is common and costs something to write.
type phrase uint8

const (
	verbatim phrase = iota // it is written already
	counting               // how many events are in a window
	opened                 // the same, of one that is open
	dwelling               // how long a dwell takes yet
	dwelt                  // how long a dwell took
)

// saying is one thing that a turn decided: a decision, a firing or a
// cancellation.
type saying struct {
	fire   *core.Firing
	cancel string

	verdict core.DecisionVerdict
	stage   core.Stage
	subject core.Subject
	from    core.Health
	to      core.Health
	first   int // its remarks
	end     int
	episode string
	firing  string
	next    time.Time
}

// reset makes t ready for another evaluation.
func (t *turn) reset(f facts, at time.Time, event *event) {
	clear(t.notes) // no reference is kept longer than it is used
	clear(t.said)
	t.facts, t.at, t.seq, t.event, t.first = f, at, 0, event, 0
	t.notes, t.said = t.notes[:0], t.said[:0]
	if event != nil {
		t.seq = event.Seq
	}
}

// note adds the verdict of a stage.
func (t *turn) note(r remark) { t.notes = append(t.notes, r) }

// clear makes the next decision begin without the verdicts noted so far.
func (t *turn) clear() { t.first = len(t.notes) }

// say ends the evaluation with a decision about m. What it returns may be
// completed until the next one is said.
func (t *turn) say(p *part, m *member, v core.DecisionVerdict, stage core.Stage, next time.Time) *saying {
	s := saying{
		verdict: v, stage: stage, subject: m.Subject, from: m.Event.From, to: m.Event.To,
		first: t.first, end: len(t.notes), episode: p.Episode, next: next,
	}
	if t.event != nil && t.event.Subject == m.Subject {
		s.from, s.to = t.event.From, t.event.To
	}
	t.said = append(t.said, s)
	return &t.said[len(t.said)-1]
}

// decision writes out what was said about a partition of a gate.
func (t *turn) decision(s *saying, g *gate, partition string) *core.Decision {
	d := &core.Decision{
		Rule: g.rule, Revision: g.revision, Seq: t.seq, At: t.at, Partition: partition, Verdict: s.verdict, Stage: s.stage,
		Episode: s.episode, Firing: s.firing, Subject: s.subject, From: s.from, To: s.to,
	}
	if t.seq < 0 {
		d.Seq, d.Run = 0, -t.seq
	}
	if s.first < s.end {
		d.Stages = make([]core.StageResult, s.end-s.first)
		for i := range d.Stages {
			t.notes[s.first+i].result(&d.Stages[i])
		}
	}
	if !s.next.IsZero() {
		d.NextAt = new(s.next)
	}
	return d
}

// result writes r out.
func (r *remark) result(out *core.StageResult) {
	out.Stage, out.OK, out.Failed, out.Nodes = r.stage, r.ok, r.failed, r.nodes
	out.N, out.Need, out.Text = r.n, r.need, r.text
	if r.gate != nil && r.gate.window != nil && r.stage == core.StageWindow {
		out.Exit, out.Quiet, out.Of = r.gate.window.Exit, r.gate.window.Quiet, r.gate.window.Of
	}
	if !r.until.IsZero() {
		out.Until = new(r.until)
	}
	if r.say != verbatim {
		out.Text = r.sentence()
	}
}

func (r *remark) sentence() string {
	switch r.say {
	case counting:
		return strconv.Itoa(r.n) + r.gate.counted
	case opened:
		return strconv.Itoa(r.n) + r.gate.closes
	case dwelling:
		left := core.Duration(r.until.Sub(r.at).Round(time.Millisecond))
		return "must hold for " + r.gate.lasts + ", " + left.String() + " left"
	case dwelt:
		return "has held for " + core.Duration(r.span.Round(time.Second)).String()
	case verbatim:
	}
	return r.text
}

// emit completes the outputs of the turn and notes firings as active.
func (m *Machine) emit(out *[]Output, g *gate, partition string, now time.Time) {
	t := &m.turn
	late := now.Sub(t.at) > lateAfter
	*out = slices.Grow(*out, len(t.said))
	for i := range t.said {
		s := &t.said[i]
		switch {
		case s.cancel != "":
			*out = append(*out, Output{Cancel: s.cancel})
		case s.fire != nil:
			s.fire.Created, s.fire.Late = now, now.Sub(s.fire.At) > lateAfter
			m.begin(s.fire)
			*out = append(*out, Output{Firing: s.fire})
		default:
			d := t.decision(s, g, partition)
			d.Decided, d.Late = now, late
			if late {
				m.stats.Late++
			}
			*out = append(*out, Output{Decision: d})
		}
	}
}
