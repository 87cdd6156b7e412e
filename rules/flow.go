package rules

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Advance says what follows in a firing from what its steps have come to. It is
// a [store.Flow]: pure, and whatever order, crash or repetition led to the
// deliveries, the same follows from the same.
//
// A list of steps is done in order. What a step of flow decided is its output,
// stored before anything in it begins, so that a restart takes the same way.
// The first step that failed for good ends what it is in: the nearest step
// around it that continues on error, or the firing. What waits in there is
// cancelled, and what runs is let finish.
func Advance(f core.Firing, steps []core.Delivery) store.Next {
	next, _ := advance(f, steps)
	return next
}

// resume is Advance of a firing of which a dead step waits again: what else made
// the firing fail is begun again too.
func resume(f core.Firing, steps []core.Delivery) store.Next {
	next, fatal := advance(f, steps)
	if len(fatal) == 0 {
		return next
	}
	steps = slices.Clone(steps)
	for i := range steps {
		if slices.Contains(fatal, steps[i].Place) {
			steps[i].Status = core.DeliveryCancelled
		}
	}
	return Advance(f, steps)
}

// advance also names the places of the steps that made the firing fail.
func advance(f core.Firing, steps []core.Delivery) (store.Next, []string) {
	w := walk{firing: f.ID, at: make(map[string]*core.Delivery, len(steps))}
	for i := range steps {
		w.at[steps[i].Place] = &steps[i]
	}
	end := w.list(f.Steps, "")
	out := store.Next{Begin: w.begin, Status: core.FiringRunning}
	if end != pending && end != passed {
		out.Begin = nil
		if !w.clear("") {
			end = pending // what runs still is let finish
		}
	}
	out.Cancel = w.cancel
	switch end {
	case passed, stopped:
		out.Status = core.FiringDone
	case failed, stoppedFailed:
		out.Status = core.FiringFailed
	case pending:
	}
	return out, w.fatal
}

// end is how far a step or a list of steps is.
type end uint8

const (
	pending       end = iota // it goes on
	passed                   // what is after it may begin
	failed                   // a step failed for good
	stopped                  // a stop ended the firing
	stoppedFailed            // the same, as failed
)

// walk looks at the steps of a firing in their order.
type walk struct {
	firing string
	at     map[string]*core.Delivery // by place
	begin  []core.Delivery
	cancel []string
	fatal  []string // places of dead steps that nothing around them passes over
}

// list walks steps whose places begin with a prefix.
func (w *walk) list(steps []core.Step, prefix string) end {
	for i := range steps {
		if e := w.step(&steps[i], prefix+strconv.Itoa(i)); e != passed {
			return e
		}
	}
	return passed
}

func (w *walk) step(s *core.Step, place string) end {
	begun, dead := len(w.begin), len(w.fatal)
	d := w.at[place]
	e := w.settled(s, place, d)
	if e == passed && d.Status == core.DeliveryDone {
		e = w.inside(s, place, d)
	}
	if e != failed {
		return e
	}
	w.begin = w.begin[:begun]
	if !s.ContinueOnError {
		return failed
	}
	w.fatal = w.fatal[:dead]
	if !w.clear(place) {
		return pending
	}
	return passed
}

// settled is how far the delivery of a step is; it begins one that has none.
func (w *walk) settled(s *core.Step, place string, d *core.Delivery) end {
	if d == nil {
		w.start(s, place)
		return pending
	}
	switch d.Status {
	case core.DeliveryCancelled: // what cancelled it was mended
		w.start(s, place)
	case core.DeliveryDead:
		w.fatal = append(w.fatal, place)
		return failed
	case core.DeliveryDone, core.DeliverySkipped:
		return passed
	case core.DeliveryWaiting, core.DeliveryRunning:
	}
	return pending
}

func (w *walk) start(s *core.Step, place string) {
	w.begin = append(w.begin, core.Delivery{
		Firing: w.firing, Place: place, Kind: s.Kind(), Step: s.Alone(), Key: w.firing + "/" + s.Name(place) + times(place), Status: core.DeliveryWaiting,
	})
}

// inside walks what is in a step of flow whose delivery is done.
func (w *walk) inside(s *core.Step, place string, d *core.Delivery) end {
	said := told(d)
	switch s.Kind() {
	case "if":
		if said.Taken == "then" {
			return w.list(s.Then, place+".then.")
		}
		return w.list(s.Else, place+".else.")
	case "choose":
		if n, err := strconv.Atoi(said.Taken); err == nil && n >= 0 && n < len(s.Choose) {
			return w.list(s.Choose[n].Then, place+"."+said.Taken+".")
		}
		return w.list(s.Else, place+".else.")
	case "parallel":
		return w.parallel(s.Parallel, place)
	case "repeat":
		return w.repeat(s, place, said)
	case "stop":
		if said.Failed {
			return stoppedFailed
		}
		return stopped
	}
	return passed
}

// parallel walks all branches: it has passed when all have, and fails with the
// first.
func (w *walk) parallel(branches [][]core.Step, place string) end {
	var seen [stoppedFailed + 1]bool
	for n, steps := range branches {
		seen[w.list(steps, place+"."+strconv.Itoa(n)+".")] = true
	}
	for _, e := range []end{stoppedFailed, stopped, failed, pending} {
		if seen[e] {
			return e
		}
	}
	return passed
}

// repeat walks one time after another. How often is known from the beginning,
// or said each time by a delivery of its own.
func (w *walk) repeat(s *core.Step, place string, said decision) end {
	counted := s.Repeat.While == "" && s.Repeat.Until == ""
	for k := 0; ; k++ {
		at := place + "[" + strconv.Itoa(k) + "]"
		switch {
		case counted && k >= said.Count, k >= most(s.Repeat):
			return passed
		case !counted:
			d := w.at[at]
			if e := w.settled(s, at, d); e != passed {
				return e
			}
			if !told(d).Again {
				return passed
			}
		}
		if e := w.list(s.Repeat.Do, at+"."); e != passed {
			return e
		}
	}
}

// most is how often a repeat can do its steps.
func most(r *core.Repeat) int {
	switch {
	case r.Times > 0:
		return r.Times
	case r.Max > 0:
		return r.Max
	}
	return 10
}

// clear cancels what waits below a place, and reports whether nothing runs.
func (w *walk) clear(place string) bool {
	quiet := true
	for at, d := range w.at {
		if place != "" && !strings.HasPrefix(at, place+".") && !strings.HasPrefix(at, place+"[") {
			continue
		}
		switch d.Status { //nolint:exhaustive // the others are final
		case core.DeliveryWaiting:
			if !slices.Contains(w.cancel, at) {
				w.cancel = append(w.cancel, at)
			}
		case core.DeliveryRunning:
			quiet = false
		}
	}
	slices.Sort(w.cancel)
	return quiet
}

// decision is what a step of flow decided, as its output tells.
type decision struct {
	Taken  string `json:"taken"`  // of if and choose: then, the number of a choice, or else
	Count  int    `json:"count"`  // of repeat
	Items  []any  `json:"items"`  // of repeat for_each
	Again  bool   `json:"again"`  // of one time of a repeat
	Failed bool   `json:"failed"` // of stop
}

// told reads what a step of flow decided. An output that cannot be read decided
// nothing.
func told(d *core.Delivery) decision {
	var out decision
	if json.Unmarshal(d.Output, &out) != nil {
		return decision{}
	}
	return out
}

// times is which time of each repeat around it a place is of: "[2]" or "".
func times(place string) string {
	var out strings.Builder
	for {
		_, rest, found := strings.Cut(place, "[")
		if !found {
			return out.String()
		}
		n, after, _ := strings.Cut(rest, "]")
		out.WriteString("[" + n + "]")
		place = after
	}
}

// find is the step at a place of a firing, nil when there is none.
func find(steps []core.Step, place string) *core.Step {
	head, rest, more := strings.Cut(place, ".")
	index, time, _ := strings.Cut(head, "[")
	n, err := strconv.Atoi(index)
	if err != nil || n < 0 || n >= len(steps) {
		return nil
	}
	s := &steps[n]
	if !more {
		return s
	}
	if time != "" {
		if s.Repeat == nil {
			return nil
		}
		return find(s.Repeat.Do, rest)
	}
	branch, rest, _ := strings.Cut(rest, ".")
	switch branch {
	case "then":
		return find(s.Then, rest)
	case "else":
		return find(s.Else, rest)
	}
	n, err = strconv.Atoi(branch)
	switch {
	case err != nil || n < 0:
		return nil
	case n < len(s.Choose):
		return find(s.Choose[n].Then, rest)
	case n < len(s.Parallel):
		return find(s.Parallel[n], rest)
	}
	return nil
}
