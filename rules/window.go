package rules

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// maxCount and maxOf bound the events that a window must remember. One over the
// newest events is stored anew with each of them, and is kept shorter for that.
const (
	maxCount = 1000
	maxOf    = 200
)

// mark is one event in a window.
type mark struct {
	Seq  int64     `json:"s"`
	At   time.Time `json:"t"`
	Miss bool      `json:"x,omitempty"` // it does not match, and only has its place among the newest
}

func (a mark) compare(b mark) int {
	return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Seq, b.Seq))
}

// tally is the flap gate's memory: the newest matching events in order of
// their time, as many as it takes to decide. Of a window over the newest events
// it is those from the oldest that matches on, in order of their identity.
type tally struct {
	Marks []mark    `json:"m,omitempty"` // counted
	Spent []mark    `json:"p,omitempty"` // of a window that closed; known so that redelivery is a no-op
	High  time.Time `json:"h,omitzero"`  // newest event time seen
	Last  time.Time `json:"l,omitzero"`  // newest event counted
	Latch bool      `json:"o,omitempty"` // open
	Top   int64     `json:"w,omitempty"` // newest in the log of the events seen
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
	if w.Of > 0 {
		return y.append(w, e)
	}
	same := func(m mark) bool { return m.Seq == e.Seq }
	if slices.ContainsFunc(y.Marks, same) || slices.ContainsFunc(y.Spent, same) {
		return duplicate
	}
	// What is older than all that is remembered may have been here before, unless
	// it is newer in the log than all that was.
	full, spent := len(y.Marks) >= keep(w), len(y.Spent) >= keep(w) && place(e.Seq) <= y.Top
	y.Top = max(y.Top, place(e.Seq))
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

// append is insert for a window over the newest events. They come in the order
// of their identity, whatever their times; one that is not newer than the newest
// was here before.
func (y *tally) append(w *core.Window, e mark) inserted {
	if place(e.Seq) <= y.Top {
		return duplicate
	}
	y.Top = place(e.Seq)
	y.Marks = append(y.Marks, e)
	if extra := len(y.Marks) - w.Of; extra > 0 {
		y.Marks = slices.Delete(y.Marks, 0, extra)
	}
	if e.At.After(y.High) {
		y.High = e.At
	}
	if !e.Miss && e.At.After(y.Last) {
		y.Last = e.At
	}
	y.prune(w, y.High)
	if !e.Miss && (len(y.Marks) == 0 || y.Marks[len(y.Marks)-1].Miss) {
		return tooLate // it has its place among the newest, and is too old to count
	}
	return counted
}

// place is the place of an event among those of its kind: the Seq of a run is
// negative.
func place(seq int64) int64 { return max(seq, -seq) }

// matches is how many matching events are in the window.
func (y *tally) matches() int {
	n := 0
	for i := range y.Marks {
		if !y.Marks[i].Miss {
			n++
		}
	}
	return n
}

// prune forgets events that are out of the window that ends at t. Among the
// newest events they keep their places.
func (y *tally) prune(w *core.Window, t time.Time) {
	out := func(m mark) bool { return !m.At.After(t.Add(-w.Within.Std())) }
	if w.Of > 0 {
		first := len(y.Marks)
		for i := range slices.Backward(y.Marks) {
			m := &y.Marks[i]
			m.Miss = m.Miss || w.Within > 0 && out(*m)
			if !m.Miss {
				first = i
			}
		}
		y.Marks = slices.Delete(y.Marks, 0, first) // what is before the first that matches decides nothing
		return
	}
	y.Marks = slices.DeleteFunc(y.Marks, out)
	y.Spent = slices.DeleteFunc(y.Spent, out)
}

// closes is when an open window closes if nothing more happens: when no more
// than exit events remain in it, or when it has been quiet for long enough. Zero
// is never: only further events close it.
func (y *tally) closes(w *core.Window) time.Time {
	var at time.Time
	if w.Quiet > 0 {
		at = y.Last.Add(w.Quiet.Std())
	}
	soonest := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	switch marks := y.byTime(w); {
	case len(marks) <= w.Exit:
		soonest(y.High)
	case w.Within > 0:
		soonest(marks[len(marks)-1-w.Exit].At.Add(w.Within.Std()))
	}
	return at
}

// byTime are the matching events in the window in order of their times.
func (y *tally) byTime(w *core.Window) []mark {
	if w.Of == 0 {
		return y.Marks
	}
	out := make([]mark, 0, len(y.Marks))
	for _, m := range y.Marks {
		if !m.Miss {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, mark.compare)
	return out
}

// forgets is when the last of its events is out of the window.
func (y *tally) forgets(w *core.Window) time.Time {
	var last time.Time
	if w.Within == 0 {
		return last
	}
	if marks := y.byTime(w); len(marks) > 0 {
		last = marks[len(marks)-1].At
	}
	if n := len(y.Spent); n > 0 && y.Spent[n-1].At.After(last) {
		last = y.Spent[n-1].At
	}
	if last.IsZero() {
		return last
	}
	return last.Add(w.Within.Std())
}

// shut closes the window and clears it. Of one over the newest events Top tells
// which were there already.
func (y *tally) shut(w *core.Window) {
	if w.Of > 0 {
		y.Marks, y.Latch = nil, false
		return
	}
	y.Spent = append(y.Spent, y.Marks...)
	slices.SortFunc(y.Spent, mark.compare)
	if extra := len(y.Spent) - keep(w); extra > 0 {
		y.Spent = slices.Delete(y.Spent, 0, extra)
	}
	y.Marks, y.Latch = nil, false
}

// scope says which events a window counts: "in 10m", "among the newest 10 runs".
func scope(w *core.Window, runs bool) string {
	if w.Of == 0 {
		return "in " + w.Within.String()
	}
	word := "change"
	if runs {
		word = "run"
	}
	text := fmt.Sprintf("among the newest %d %s", w.Of, plural(w.Of, word))
	if w.Within > 0 {
		text += " in " + w.Within.String()
	}
	return text
}

// ends says when an open window closes.
func ends(w *core.Window) string {
	text := fmt.Sprintf("closes at %d", w.Exit)
	if w.Quiet > 0 {
		text += fmt.Sprintf(" or after %s without one", w.Quiet)
	}
	return text
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
