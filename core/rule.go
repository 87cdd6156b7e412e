package core

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Rule says what to do about changes: Trigger, condition, Gate and steps.
type Rule struct {
	ID       string            `json:"id" doc:"identity; letters, digits, '.', '_', '-'"`
	Name     string            `json:"name,omitempty" doc:"what people call it; the id when empty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Disabled bool              `json:"disabled,omitempty"`
	Note     string            `json:"note,omitempty" doc:"free text for people, for example a runbook"`
	On       []Trigger         `json:"on" doc:"what it looks at"`
	When     string            `json:"when,omitempty" doc:"expr, bool; default true"`
	Gate     Gate              `json:"gate,omitzero"`
	Unless   string            `json:"unless,omitempty" doc:"expr, bool; while true the rule holds back, and offers again when it is false"`
	Do       []Step            `json:"do" doc:"what to do when it fires"`
	Recover  []Step            `json:"recover,omitempty" doc:"what to do, once, when an episode that fired closes"`
	Mode     string            `json:"mode,omitempty" doc:"single, queued, restart or parallel; default single"`
	Max      int               `json:"max,omitempty" doc:"of queued and parallel: how many; default 10"`
}

// Label is the name that people read.
func (r Rule) Label() string {
	if r.Name != "" {
		return r.Name
	}
	return r.ID
}

// Trigger is one kind of event a Rule looks at.
type Trigger struct {
	Event   string      `json:"event" doc:"health.changed, degraded, unhealthy, recovered, escalated or deescalated; run.completed, failed or error; metric"`
	Subject SubjectKind `json:"subject,omitempty" doc:"system, assignment or group; default system; of runs and metrics it is the assignment"`
	When    string      `json:"when,omitempty" doc:"expr, bool; besides the condition of the rule"`
	Value   string      `json:"value,omitempty" doc:"of metric: expr over a run that gives a number, or a length of time, which counts in seconds"`
	Above   *float64    `json:"above,omitempty" doc:"of metric: it begins when value is more than this"`
	Below   *float64    `json:"below,omitempty" doc:"of metric, instead of above: it begins when value is less than this"`
	Clear   *float64    `json:"clear,omitempty" doc:"of metric: it ends when value is back at this; default above or below"`
}

// Gate is what a change must prove before a Rule may act. Zero lets every
// matching change through.
type Gate struct {
	Preset   string   `json:"preset,omitempty" doc:"steady, page-once, flap-summary, prometheus or nagios: the fields of a gate by name; what is written beside it goes first"`
	By       string   `json:"by,omitempty" doc:"expr that names the partition; default the subject's id"`
	For      Duration `json:"for,omitempty" doc:"dwell: it must hold this long"`
	While    string   `json:"while,omitempty" doc:"expr that must stay true during the dwell; default health != \"healthy\""`
	Window   *Window  `json:"window,omitempty" doc:"it must happen this often"`
	Cooldown Duration `json:"cooldown,omitempty" doc:"after an episode closes, none opens for this long"`
}

// Window is the flap gate: it opens at Count matching events within Within, or
// among the newest Of events of the partition, matching or not, and closes at
// Exit or fewer, or after Quiet without one. With both, an event must be among
// the newest and young enough.
type Window struct {
	Count  int      `json:"count" doc:"how many matching events open it; at least 1"`
	Within Duration `json:"within,omitempty" doc:"in this long"`
	Of     int      `json:"of,omitempty" doc:"among this many of the newest runs, or changes of health, of the partition; instead of within or with it"`
	Exit   int      `json:"exit,omitempty" doc:"it closes at this many or fewer; default 0"`
	Quiet  Duration `json:"quiet,omitempty" doc:"it closes after this long without a matching event; default within, and with of alone never"`
	Refire Refire   `json:"refire,omitzero" doc:"never, every (matching event) or a duration; default never"`
}

// Refire says whether an open gate fires again: never (zero), on every
// matching event, or each Every.
type Refire struct {
	EveryEvent bool
	Each       Duration
}

// String is "never", "every" or the duration.
func (r Refire) String() string {
	switch {
	case r.EveryEvent:
		return "every"
	case r.Each > 0:
		return r.Each.String()
	}
	return "never"
}

// MarshalText writes [Refire.String].
func (r Refire) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads never, every or a positive duration.
func (r *Refire) UnmarshalText(text []byte) error {
	switch s := string(text); s {
	case "never", "":
		*r = Refire{}
	case "every":
		*r = Refire{EveryEvent: true}
	default:
		d, err := ParseDuration(s)
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is not a refire; write never, every or a duration such as 15m", s)
		}
		*r = Refire{Each: d}
	}
	return nil
}

// Step is one thing that a Rule does: an action, or one of the flow steps if
// (with then), choose, parallel, repeat, delay, wait, let and stop.
type Step struct {
	ID              string            `json:"id,omitempty" doc:"names its output for later steps; what it does and its place when empty"`
	If              string            `json:"if,omitempty" doc:"expr, bool; false skips the step, or goes on with else"`
	Action          string            `json:"action,omitempty" doc:"webhook, log, assignment.run_now and so on, or wasm:MODULE; empty of a step of flow"`
	With            map[string]any    `json:"with,omitempty" doc:"what the action takes; text may hold \\${expr}"`
	Then            []Step            `json:"then,omitempty" doc:"what to do when if is true"`
	Choose          []Choice          `json:"choose,omitempty" doc:"the first whose when is true is done, and no other"`
	Else            []Step            `json:"else,omitempty" doc:"of if and choose: what to do otherwise"`
	Parallel        [][]Step          `json:"parallel,omitempty" doc:"lists of steps that are done at the same time"`
	Repeat          *Repeat           `json:"repeat,omitempty"`
	Delay           Duration          `json:"delay,omitempty" doc:"goes on after this long"`
	Wait            *Wait             `json:"wait,omitempty"`
	Let             map[string]string `json:"let,omitempty" doc:"names to expr: later steps see vars.NAME"`
	Stop            *Stop             `json:"stop,omitempty"`
	Timeout         Duration          `json:"timeout,omitempty" doc:"of one attempt; default 10s"`
	Retry           Retry             `json:"retry,omitzero"`
	ContinueOnError bool              `json:"continue_on_error,omitempty" doc:"goes on after it failed, or anything in it"`
}

// Choice is one way of a choose.
type Choice struct {
	When string `json:"when" doc:"expr, bool"`
	Then []Step `json:"then"`
}

// Repeat does its steps again and again: Times times, for each of a list, while
// something is true or until it is.
type Repeat struct {
	Times   int    `json:"times,omitempty" doc:"how often"`
	ForEach string `json:"for_each,omitempty" doc:"expr, a list: once for each, which its steps see as repeat.item"`
	While   string `json:"while,omitempty" doc:"expr, bool; looked at before each time"`
	Until   string `json:"until,omitempty" doc:"expr, bool; looked at after each time"`
	Max     int    `json:"max,omitempty" doc:"the most times; default 10"`
	Do      []Step `json:"do"`
}

// Wait waits until something has been true for long enough, or not any longer.
type Wait struct {
	Until   string   `json:"until" doc:"expr, bool; looked at with every change of the subject"`
	For     Duration `json:"for,omitempty" doc:"how long it must hold"`
	Timeout Duration `json:"timeout" doc:"the most it waits; its output is outcome, met or timeout"`
}

// Stop ends a Firing.
type Stop struct {
	Reason string `json:"reason,omitempty" doc:"text, may hold \\${expr}"`
	Failed bool   `json:"failed,omitempty" doc:"the firing has failed; default it is done"`
}

// Kind is what s does, in a word: its action, or the name of the flow step. It
// is empty when s does nothing.
func (s *Step) Kind() string {
	switch {
	case s.Action != "":
		return s.Action
	case s.Then != nil:
		return "if"
	case s.Choose != nil:
		return "choose"
	case s.Parallel != nil:
		return "parallel"
	case s.Repeat != nil:
		return "repeat"
	case s.Delay != 0:
		return "delay"
	case s.Wait != nil:
		return "wait"
	case s.Let != nil:
		return "let"
	case s.Stop != nil:
		return "stop"
	}
	return ""
}

// Name is the id of s, where place is as in [Delivery]: what it does and its
// place, counted from 1, when it was given none.
func (s *Step) Name(place string) string {
	if s.ID != "" {
		return s.ID
	}
	word := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, s.Kind())
	parts := strings.Split(place, ".")
	for i, part := range parts {
		if n, err := strconv.Atoi(part); err == nil {
			parts[i] = strconv.Itoa(n + 1)
		}
	}
	return word + "_" + strings.Join(parts, "_")
}

// Named is steps, each with its id, and so what is in them.
func Named(steps []Step) []Step { return named(steps, "") }

func named(steps []Step, at string) []Step {
	out := slices.Clone(steps)
	for i := range out {
		s, place := &out[i], at+strconv.Itoa(i)
		s.ID = s.Name(place)
		s.Then = named(s.Then, place+".then.")
		s.Else = named(s.Else, place+".else.")
		s.Choose = slices.Clone(s.Choose)
		for n := range s.Choose {
			s.Choose[n].Then = named(s.Choose[n].Then, place+"."+strconv.Itoa(n)+".")
		}
		s.Parallel = slices.Clone(s.Parallel)
		for n := range s.Parallel {
			s.Parallel[n] = named(s.Parallel[n], place+"."+strconv.Itoa(n)+".")
		}
		if s.Repeat != nil {
			r := *s.Repeat
			r.Do = named(r.Do, place+".")
			s.Repeat = &r
		}
	}
	return out
}

// Steps goes through steps and what is in them, in their order, each with its
// path below at, such as do[0].then[1].
func Steps(at string, steps []Step) iter.Seq2[string, *Step] {
	return func(yield func(string, *Step) bool) { walk(at, steps, yield) }
}

func walk(at string, steps []Step, yield func(string, *Step) bool) bool {
	for i := range steps {
		s, path := &steps[i], at+"["+strconv.Itoa(i)+"]"
		if !yield(path, s) || !walk(path+".then", s.Then, yield) || !walk(path+".else", s.Else, yield) {
			return false
		}
		for n := range s.Choose {
			if !walk(path+".choose["+strconv.Itoa(n)+"].then", s.Choose[n].Then, yield) {
				return false
			}
		}
		for n := range s.Parallel {
			if !walk(path+".parallel["+strconv.Itoa(n)+"]", s.Parallel[n], yield) {
				return false
			}
		}
		if s.Repeat != nil && !walk(path+".repeat.do", s.Repeat.Do, yield) {
			return false
		}
	}
	return true
}

// Alone is s without the steps in it.
func (s *Step) Alone() Step {
	out := *s
	out.Then, out.Else, out.Parallel = nil, nil, nil
	out.Choose = slices.Clone(s.Choose)
	for i := range out.Choose {
		out.Choose[i].Then = nil
	}
	if s.Repeat != nil {
		r := *s.Repeat
		r.Do = nil
		out.Repeat = &r
	}
	return out
}

// Retry bounds the attempts of a Step.
type Retry struct {
	Max     int      `json:"max,omitempty" doc:"attempts in all; default 8"`
	Backoff Duration `json:"backoff,omitempty" doc:"before the second attempt, doubled each time up to 10m; default 1s"`
}
