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

// index finds the rules that an event can concern, by trigger, subject and one
// thing that the condition demands of the system.
type index struct {
	rules map[place][]*live
	tags  map[string]int // tags that places name, and how often
}

type place struct {
	kind    core.Kind
	subject core.SubjectKind
	want    equals // zero: whatever the system is
	narrow  bool   // want counts
}

func newIndex() index { return index{rules: map[place][]*live{}, tags: map[string]int{}} }

// places are where a rule is found.
func (r *live) places() []place {
	var out []place
	for _, t := range r.triggers {
		p := place{kind: t.kind, subject: t.subject}
		if len(r.wanted) > 0 {
			p.want, p.narrow = r.wanted[0], true
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func (x *index) add(r *live) {
	for _, p := range r.places() {
		x.rules[p] = append(x.rules[p], r)
		if p.narrow {
			x.tags[p.want.tag]++
		}
	}
}

func (x *index) remove(r *live) {
	for _, p := range r.places() {
		x.rules[p] = slices.DeleteFunc(x.rules[p], func(o *live) bool { return o == r })
		if len(x.rules[p]) == 0 {
			delete(x.rules, p)
		}
		if p.narrow {
			if x.tags[p.want.tag]--; x.tags[p.want.tag] == 0 {
				delete(x.tags, p.want.tag)
			}
		}
	}
}

// candidates are the rules that look at an event and whose condition is not
// known to be false, each once, in order of id.
func (x *index) candidates(m *Machine, t *core.Transition) []*live {
	var out []*live
	id := systemOf(t.Subject)
	tags := m.world.systems[id].Tags
	look := func(p place) {
		for _, r := range x.rules[p] {
			if r.stamp != t.Seq {
				r.stamp = t.Seq
				out = append(out, r)
			}
		}
	}
	for _, kind := range eventKinds() {
		if !t.Is(kind) {
			continue
		}
		p := place{kind: kind, subject: t.Subject.Kind}
		look(p)
		p.narrow = true
		for tag := range x.tags {
			p.want = equals{tag: tag, value: tags[tag]}
			if tag == "" {
				p.want.value = id
			}
			look(p)
		}
	}
	slices.SortFunc(out, func(a, b *live) int { return cmp.Compare(a.Rule.ID, b.Rule.ID) })
	return out
}
