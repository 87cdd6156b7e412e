package rules

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// ExprReport is what [Compiler.CheckExpr] finds out about an expression.
type ExprReport struct {
	OK       bool
	Type     string
	Refs     []string
	Timed    bool          // its value can change as time passes
	Problems core.Problems // why it is not OK
	Matches  *int          // of a condition over system alone: how many systems match
	Took     time.Duration // to check and, where it could be, to match
}

// Env describes what an expression sees where it stands: "step" and "text" are
// the texts of steps, "match" is a selector of systems, "silence" the match of a silence, and everything else a
// condition of a rule.
func (c *Compiler) Env(where string) core.ExprEnv { return c.scope(where).Describe() }

func (c *Compiler) scope(where string) *lang.Scope {
	switch where {
	case "step", "text":
		return c.scopes().step
	case "match":
		return c.selects
	case "silence":
		return c.mutes
	}
	return c.scopes().event
}

// Validate reports everything that is wrong with a rule. Systems are not
// needed; they are taken for the sake of callers that validate all kinds alike.
func (c *Compiler) Validate(r core.Rule, _ []core.System) core.Problems {
	_, problems := c.Compile(r)
	return problems
}

// CheckExpr looks at one expression that stands somewhere and must be "bool",
// "text" (text with holes) or "any". Over systems it counts for how many a
// condition that reads nothing but system.id, name, tags and groups is true.
func (c *Compiler) CheckExpr(where, as, src string, systems []core.System) ExprReport {
	started := time.Now()
	out := c.checkExpr(where, as, src, systems)
	out.Took = time.Since(started)
	return out
}

func (c *Compiler) checkExpr(where, as, src string, systems []core.System) ExprReport {
	scope := c.scope(where)
	if as == "text" {
		t, problems := lang.CompileText(scope, src)
		if len(problems) > 0 {
			return ExprReport{Problems: problems}
		}
		return ExprReport{OK: true, Type: "string", Refs: t.Refs(), Timed: t.Timed()}
	}
	want := lang.Any
	if as == "bool" {
		want = lang.Bool
	}
	p, problems := lang.Compile(scope, src, want)
	if len(problems) > 0 {
		return ExprReport{Problems: problems}
	}
	out := ExprReport{OK: true, Type: p.Type(), Refs: p.Refs(), Timed: p.Timed()}
	if as == "bool" && systemOnly(p.Refs()) {
		out.Matches = c.matches(src, systems)
	}
	return out
}

func systemOnly(refs []string) bool {
	for _, ref := range refs {
		parts := strings.SplitN(ref, ".", 3)
		if len(parts) < 2 || parts[0] != "system" || !slices.Contains([]string{"id", "name", "tags", "groups"}, parts[1]) {
			return false
		}
	}
	return len(refs) > 0
}

func (c *Compiler) matches(src string, systems []core.System) *int {
	p, problems := lang.Compile(c.selects, src, lang.Bool)
	if len(problems) > 0 {
		return nil
	}
	n := 0
	for _, s := range systems {
		env := selectOf(s)
		if ok, err := p.Bool(&env); err == nil && ok {
			n++
		}
	}
	return &n
}

// GateState is where one partition of a rule stands.
type GateState struct {
	Partition string         `json:"partition"`
	Subjects  []core.Subject `json:"subjects"`
	Text      string         `json:"text" doc:"for people: waiting 1:12, 2 of 3 in window, fired, held back by unless"`
	Open      bool           `json:"open" doc:"an episode is open"`
	Episode   string         `json:"episode,omitempty"`
	Fired     int            `json:"fired" doc:"firings of the episode"`
	Held      core.Stage     `json:"held,omitempty" doc:"the stage that holds an offer back"`
	N         int            `json:"n,omitempty" doc:"of a window: events in it"`
	Need      int            `json:"need,omitempty" doc:"of a window: events that open it"`
	NextAt    *time.Time     `json:"next_at,omitempty" doc:"when its timer is due"`
	LastAt    *time.Time     `json:"last_at,omitempty" doc:"when the episode fired last"`

	Acknowledged *core.Acknowledgement `json:"acknowledged,omitempty" doc:"who takes care of the episode"`
}

// State tells where each partition of a rule stands, in order of partition.
// A rule that is unknown or waits for nothing has none.
func (r *Runner) State(rule string) []GateState {
	r.mu.Lock()
	defer r.mu.Unlock()
	l, ok := r.machine.rules[rule]
	if !ok {
		return nil
	}
	now := time.Now()
	var out []GateState
	for _, name := range slices.Sorted(maps.Keys(l.parts)) {
		out = append(out, l.parts[name].summary(now))
	}
	return out
}

// Open counts the episodes of each rule that have fired and are not closed.
func (r *Runner) Open() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for id, l := range r.machine.rules {
		for _, p := range l.parts {
			if p.Fired > 0 {
				out[id]++
			}
		}
	}
	return out
}

// Episodes are the ids of the episodes that have fired and are not closed.
func (r *Runner) Episodes() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]bool{}
	for _, l := range r.machine.rules {
		for _, p := range l.parts {
			if p.Fired > 0 {
				out[p.Episode] = true
			}
		}
	}
	return out
}

// Firing lists the systems for which an episode that fired is open.
func (r *Runner) Firing() map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]bool{}
	for _, l := range r.machine.rules {
		for _, p := range l.parts {
			for i := range p.Members {
				if id := systemOf(p.Members[i].Subject); p.Fired > 0 && id != "" {
					out[id] = true
				}
			}
		}
	}
	return out
}

// Quarantined are the rules that do not compile, and why.
func (r *Runner) Quarantined() map[string]core.Problems {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Quarantined()
}

// Stats counts since the start.
func (r *Runner) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Stats()
}

// summary says where a partition stands.
func (p *part) summary(now time.Time) GateState {
	out := GateState{Partition: p.name, Open: p.Fired > 0 || p.Latch, Episode: p.Episode, Fired: p.Fired, Held: p.Pending, N: p.matches()}
	for i := range p.Members {
		out.Subjects = append(out.Subjects, p.Members[i].Subject)
	}
	if out.Acknowledged = p.Ack; p.Fired > 0 {
		out.LastAt = new(p.LastAt)
	}
	if next := p.next; !next.IsZero() {
		out.NextAt = &next
	}
	if w := p.gate.window; w != nil {
		out.Need = w.Count
		inside := *p
		inside.Marks = slices.Clone(p.Marks)
		inside.Spent = nil
		inside.prune(w, now)
		out.N = inside.matches()
	}
	out.Text = p.words(now, out.N)
	return out
}

func (p *part) words(now time.Time, n int) string {
	switch {
	case p.Closing != nil:
		return "recovery waits for the firings before it"
	case p.Pending == core.StageCooldown:
		return "cooldown until " + clock(p.Cool)
	case p.Pending == core.StageUnless:
		return "held back by unless"
	case p.Pending == core.StageMode:
		return "waits for its turn"
	case len(p.Queued) > 0:
		return "queued"
	case p.Ack != nil:
		return "fired " + clock(p.LastAt) + ", " + p.Ack.String()
	case p.Fired > 0:
		return "fired " + clock(p.LastAt)
	}
	for i := range p.Members {
		if m := &p.Members[i]; !m.Due.IsZero() && !m.Held {
			left := max(0, m.Due.Sub(now).Round(time.Second))
			return fmt.Sprintf("waiting %d:%02d left", int(left.Minutes()), int(left.Seconds())%60)
		}
	}
	switch {
	case p.gate.window != nil && n > 0:
		return fmt.Sprintf("%d of %d in window", n, p.gate.window.Count)
	case len(p.Watches) > 0:
		return "waits for the time"
	case now.Before(p.Cool):
		return "cooldown until " + clock(p.Cool)
	}
	return "quiet"
}
