package rules

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// equals is a thing that must be so of the system for a condition to be true:
// a tag, or with an empty tag the id, has a value.
type equals struct {
	tag   string
	value string
}

var (
	leftEquals  = regexp.MustCompile(`^system\.(?:(id)|tags\.([A-Za-z_][A-Za-z0-9_]*)|tags\["([^"\\]+)"\])\s*==\s*"([^"\\]*)"$`)
	rightEquals = regexp.MustCompile(`^"([^"\\]*)"\s*==\s*system\.(?:(id)|tags\.([A-Za-z_][A-Za-z0-9_]*)|tags\["([^"\\]+)"\])$`)
)

// wants finds what a condition demands of the system: those of its parts,
// joined by && at the top, that compare a tag or the id with a constant. It
// errs on the side of finding nothing: an index made of it may only leave out
// rules whose condition is false.
func wants(source string) []equals {
	var out []equals
	for _, part := range conjuncts(source) {
		part = strings.TrimSpace(part)
		if m := leftEquals.FindStringSubmatch(part); m != nil {
			out = append(out, equals{tag: m[2] + m[3], value: m[4]})
		} else if m := rightEquals.FindStringSubmatch(part); m != nil {
			out = append(out, equals{tag: m[3] + m[4], value: m[1]})
		}
	}
	kept := out[:0]
	for _, e := range out {
		if e.value != "" { // an absent tag is empty text, which no index finds
			kept = append(kept, e)
		}
	}
	return kept
}

// conjuncts splits an expression at the && that are outside of any brackets
// and quotes. It gives nothing when another operator that binds less tightly
// is there too.
func conjuncts(source string) []string {
	var out []string
	depth, start := 0, 0
	for i := 0; i < len(source); i++ {
		switch c := source[i]; c {
		case '"', '\'', '`':
			end := closing(source, i)
			if end < 0 {
				return nil
			}
			i = end
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case '&':
			if depth == 0 && strings.HasPrefix(source[i:], "&&") {
				out = append(out, source[start:i])
				i++
				start = i + 1
			}
		case '|', '?', ':', ';', '/', '#':
			if depth == 0 {
				return nil // or, conditional, pipe, sequence, comment: not worth the risk
			}
		}
		if depth == 0 && word(source, i) {
			return nil
		}
	}
	return append(out, source[start:])
}

// closing is the place of the quote that ends the literal that begins at i.
func closing(source string, i int) int {
	for j := i + 1; j < len(source); j++ {
		switch {
		case source[j] == '\\' && source[i] != '`':
			j++
		case source[j] == source[i]:
			return j
		}
	}
	return -1
}

// word reports whether an operator that is a word begins at i.
func word(source string, i int) bool {
	letter := func(j int) bool {
		if j < 0 || j >= len(source) {
			return false
		}
		c := source[j]
		return c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for _, w := range []string{"or", "and", "let", "if", "else", "not"} {
		if strings.HasPrefix(source[i:], w) && !letter(i-1) && !letter(i+len(w)) {
			return true
		}
	}
	return false
}

// kinds are kinds of events, one bit each in the order of eventKinds.
type kinds uint16

func bit(k core.Kind) kinds {
	for i, known := range eventKinds() {
		if k == known {
			return 1 << i
		}
	}
	return 0
}

// index finds the rules that an event can concern, by trigger, subject and one
// thing that the condition demands of the system.
type index struct {
	shelves [3][kindCount]shelf // by kind of subject and of event
	kinds   [5][5]kinds         // of a change from one health to another
}

// shelf has the rules that look at one kind of event of one kind of subject.
type shelf struct {
	broad  []*live  // whatever the system is, in order of id
	narrow []drawer // one for each tag
}

// drawer has the rules that demand a value of one tag, or with an empty tag of
// the id.
type drawer struct {
	tag   string
	rules map[string][]*live // by value, in order of id
}

func newIndex() index {
	var x index
	for _, from := range core.Healths() {
		for _, to := range core.Healths() {
			for i, k := range eventKinds() {
				if (core.Transition{From: from, To: to}).Is(k) {
					x.kinds[from][to] |= 1 << i
				}
			}
		}
	}
	return x
}

// of are the kinds that a change is of.
func (x *index) of(t *event) kinds {
	if t.Of != nil {
		return runKinds(t.Of.Outcome)
	}
	if int(t.From) >= len(x.kinds) || int(t.To) >= len(x.kinds) {
		return bit(core.KindChanged)
	}
	return x.kinds[t.From][t.To]
}

// runKinds are the kinds that a run with an outcome is of.
func runKinds(o core.Outcome) kinds {
	out := bit(core.KindCompleted) | bit(core.KindMetric)
	switch o {
	case core.Fail:
		out |= bit(core.KindFailed)
	case core.Error:
		out |= bit(core.KindError)
	case core.Pass, core.Warn:
	}
	return out
}

func byID(a, b *live) int { return cmp.Compare(a.Rule.ID, b.Rule.ID) }

// each calls f with the lists that a rule belongs in; f returns the new list.
func (x *index) each(r *live, f func(list []*live) []*live) {
	for _, t := range r.triggers {
		for i := range x.shelves[0] {
			if t.bit != 1<<i {
				continue
			}
			s := &x.shelves[row(t.subject)][i]
			if len(r.wanted) == 0 {
				s.broad = f(s.broad)
				continue
			}
			want := r.wanted[0]
			d := slices.IndexFunc(s.narrow, func(d drawer) bool { return d.tag == want.tag })
			if d < 0 {
				d = len(s.narrow)
				s.narrow = append(s.narrow, drawer{tag: want.tag, rules: map[string][]*live{}})
			}
			list := f(s.narrow[d].rules[want.value])
			s.narrow[d].rules[want.value] = list
			if len(list) == 0 {
				delete(s.narrow[d].rules, want.value)
			}
			if len(s.narrow[d].rules) == 0 {
				s.narrow = slices.Delete(s.narrow, d, d+1)
			}
		}
	}
}

func (x *index) add(r *live) {
	x.each(r, func(list []*live) []*live {
		i, found := slices.BinarySearchFunc(list, r, byID)
		if found {
			return list
		}
		return slices.Insert(list, i, r)
	})
}

func (x *index) remove(r *live) {
	x.each(r, func(list []*live) []*live {
		return slices.DeleteFunc(list, func(o *live) bool { return o == r })
	})
}

// candidates are the rules that look at an event and whose condition is not
// known to be false, each once, in order of id. They are good until it is asked
// again.
func (m *Machine) candidates(t *event, of kinds) []*live {
	m.found = m.found[:0]
	id := systemOf(t.Subject)
	var tags map[string]string
	if s, ok := m.world.systems[id]; ok {
		tags = s.seen.Tags
	}
	shelves := &m.index.shelves[row(t.Subject.Kind)]
	for i := range shelves {
		if of&(1<<i) == 0 {
			continue
		}
		m.pick(shelves[i].broad, t.Seq)
		for d := range shelves[i].narrow {
			drawer := &shelves[i].narrow[d]
			value := id
			if drawer.tag != "" {
				value = tags[drawer.tag]
			}
			m.pick(drawer.rules[value], t.Seq)
		}
	}
	if !slices.IsSortedFunc(m.found, byID) {
		slices.SortFunc(m.found, byID)
	}
	return m.found
}

// pick adds the rules of a list that were not picked for the event before.
func (m *Machine) pick(list []*live, seq int64) {
	for _, r := range list {
		if r.stamp != seq {
			r.stamp = seq
			m.found = append(m.found, r)
		}
	}
}
