package rules

import (
	"cmp"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// maxCount bounds the events that a window must remember.
const maxCount = 1000

// mark is one matching event in a window.
type mark struct {
	Seq int64     `json:"s"`
	At  time.Time `json:"t"`
}

func (a mark) compare(b mark) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq))
}

// tally is the flap gate's memory: the newest matching events in order of
// their time, as many as it takes to decide.
type tally struct {
	Marks []mark    `json:"m,omitempty"` // counted
	Spent []mark    `json:"p,omitempty"` // of a window that closed; known so that redelivery is a no-op
	High  time.Time `json:"h,omitzero"`  // newest event time seen
	Last  time.Time `json:"l,omitzero"`  // newest event counted
	Latch bool      `json:"o,omitempty"` // open
}

// inserted says what became of an event.
type inserted int

const (
	counted   inserted = iota
	duplicate          // seen before
	tooLate            // older than the window
)

// keep is how many events decide: those that open it, or one more than may
// remain when it closes.
func keep(w *core.Window) int { return max(w.Count, w.Exit+1) }

// insert counts an event, by its identity and its own time. Events with time
// in (t - within, t] count, where t is the newest time seen.
func (y *tally) insert(w *core.Window, e mark) inserted {
	same := func(m mark) bool { return m.Seq == e.Seq }
	if slices.ContainsFunc(y.Marks, same) || slices.ContainsFunc(y.Spent, same) {
		return duplicate
	}
	full, spent := len(y.Marks) >= keep(w), len(y.Spent) >= keep(w)
	if !e.At.After(y.High.Add(-w.Within.Std())) || full && e.compare(y.Marks[0]) < 0 || spent && e.compare(y.Spent[0]) < 0 {
		return tooLate
	}
	i, _ := slices.BinarySearchFunc(y.Marks, e, mark.compare)
	y.Marks = slices.Insert(y.Marks, i, e)
	if full {
		y.Marks = slices.Delete(y.Marks, 0, 1)
	}
	if e.At.After(y.High) {
		y.High = e.At
	}
	if e.At.After(y.Last) {
		y.Last = e.At
	}
	y.prune(w, y.High)
	return counted
}

// prune forgets events that are out of the window that ends at t.
func (y *tally) prune(w *core.Window, t time.Time) {
	out := func(m mark) bool { return !m.At.After(t.Add(-w.Within.Std())) }
	y.Marks = slices.DeleteFunc(y.Marks, out)
	y.Spent = slices.DeleteFunc(y.Spent, out)
}

// closes is when an open window closes if nothing more happens: when no more
// than exit events remain in it, or when it has been quiet for long enough.
func (y *tally) closes(w *core.Window) time.Time {
	at := y.Last.Add(w.Quiet.Std())
	if i := len(y.Marks) - 1 - w.Exit; i >= 0 {
		if out := y.Marks[i].At.Add(w.Within.Std()); out.Before(at) {
			at = out
		}
	} else if y.High.Before(at) {
		at = y.High
	}
	return at
}

// forgets is when the last of its events is out of the window.
func (y *tally) forgets(w *core.Window) time.Time {
	var last time.Time
	if n := len(y.Marks); n > 0 {
		last = y.Marks[n-1].At
	}
	if n := len(y.Spent); n > 0 && y.Spent[n-1].At.After(last) {
		last = y.Spent[n-1].At
	}
	if last.IsZero() {
		return last
	}
	return last.Add(w.Within.Std())
}

// shut closes the window and clears it.
func (y *tally) shut(w *core.Window) {
	y.Spent = append(y.Spent, y.Marks...)
	slices.SortFunc(y.Spent, mark.compare)
	if extra := len(y.Spent) - keep(w); extra > 0 {
		y.Spent = slices.Delete(y.Spent, 0, extra)
	}
	y.Marks, y.Latch = nil, false
}

// withDefaults is w with every field filled in.
func withDefaults(w *core.Window) *core.Window {
	if w == nil {
		return nil
	}
	full := *w
	if full.Quiet == 0 {
		full.Quiet = full.Within
	}
	return &full
}
