package rules

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// begun is what is stored of a rule besides its partitions.
type begun struct {
	Begin time.Time `json:"begin"` // events before are not its business
}

// SetRules tells which rules there are. Rules whose gate is as it was keep
// everything; the others begin with what happens after they were saved. What
// rules that are gone, disabled or edited had open is closed; see the package.
// A rule that does not compile is quarantined.
func (m *Machine) SetRules(saved []Saved, now time.Time) []Output {
	var out []Output
	next := m.compile(saved)
	for _, r := range m.sortedRules() {
		if p, ok := next[r.Rule.ID]; !ok || p.Revision != r.Revision {
			m.retire(&out, r, now)
		}
	}
	m.bury(&out, saved, now)
	for _, s := range saved {
		p, ok := next[s.Rule.ID]
		if !ok {
			continue
		}
		if r, known := m.rules[s.Rule.ID]; known {
			m.renew(r, p)
		} else {
			m.install(p, s.At, now)
		}
	}
	m.spread = m.spread[:0]
	for _, r := range m.sortedRules() {
		if r.by != nil && r.gate.window != nil && r.gate.window.Of > 0 {
			m.spread = append(m.spread, r)
		}
	}
	m.acknowledge(&out, now)
	m.settleAll(&out, now)
	return out
}

// compile makes the programs of the rules that are enabled, and notes those
// that do not compile.
func (m *Machine) compile(saved []Saved) map[string]*Program {
	next := map[string]*Program{}
	clear(m.sick)
	edition := m.c.edition()
	for _, s := range saved {
		if s.Rule.Disabled {
			continue
		}
		if r, ok := m.rules[s.Rule.ID]; ok && r.edition == edition && reflect.DeepEqual(r.Rule, s.Rule) {
			next[s.Rule.ID] = r.Program
			continue
		}
		p, problems := m.c.Compile(s.Rule)
		if len(problems) > 0 {
			m.sick[s.Rule.ID] = problems
			continue
		}
		next[s.Rule.ID] = p
	}
	return next
}

// retire takes a rule out of use. One that was quarantined keeps its state in
// store; what another had open is closed.
func (m *Machine) retire(out *[]Output, r *live, now time.Time) {
	m.index.remove(r)
	_, sick := m.sick[r.Rule.ID]
	for _, name := range slices.Sorted(maps.Keys(r.parts)) {
		p := r.parts[name]
		if sick {
			m.stash(p)
			continue
		}
		m.end(out, p, now, now, "the rule was edited, disabled or deleted")
	}
	mark := stateKey(r.Rule.ID, r.Revision, "")
	if sick {
		m.stored[mark] = mark0(r.begin)
	} else {
		m.marks[mark] = nil
	}
	delete(m.rules, r.Rule.ID)
	delete(m.waits, r)
}

// stash puts a partition back into what is stored.
func (m *Machine) stash(p *part) {
	text := p.encode()
	m.stored[p.key] = text
	if p.moved {
		p.moved = false
		m.marks[p.key] = text
	}
	m.forget(p)
}

// forget takes a partition out of the indexes.
func (m *Machine) forget(p *part) {
	p.next = time.Time{}
	m.hold(p, false)
	members, watches := p.Members, p.Watches
	p.Members, p.Watches = nil, nil
	m.reindex(p)
	p.Members, p.Watches = members, watches
}

// bury closes what is stored of rules that are gone, disabled or were edited
// while nobody was looking.
func (m *Machine) bury(out *[]Output, saved []Saved, now time.Time) {
	wanted := map[string]bool{}
	for _, s := range saved {
		if !s.Rule.Disabled {
			wanted[s.Rule.ID+"/"+Revision(s.Rule)] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m.stored)) {
		rule, revision, name := splitKey(key)
		if wanted[rule+"/"+revision] {
			continue
		}
		if name == "" {
			m.marks[key] = nil
		} else {
			p := &part{gate: &gate{rule: rule, revision: revision}, name: name, key: key}
			if json.Unmarshal(m.stored[key], &p.state) == nil {
				m.end(out, p, now, now, "the rule was edited, disabled or deleted")
			}
			p.moved = false
			m.marks[key] = nil
		}
		delete(m.stored, key)
	}
}

// renew gives a rule whose gate is as it was its new text.
func (m *Machine) renew(r *live, p *Program) {
	if r.Program == p {
		return
	}
	m.index.remove(r)
	r.Program = p
	m.index.add(r)
	for _, part := range r.parts {
		part.gate = &r.gate
	}
}

// install puts a rule to use, with what is stored of it.
func (m *Machine) install(p *Program, savedAt, now time.Time) {
	r := &live{Program: p, begin: savedAt, parts: map[string]*part{}, closing: map[*part]bool{}}
	r.ask = &asker{m, r, p.Rule.ID}
	m.rules[p.Rule.ID] = r
	m.index.add(r)
	mark := stateKey(p.Rule.ID, p.Revision, "")
	var b begun
	if text, ok := m.stored[mark]; ok && json.Unmarshal(text, &b) == nil {
		r.begin = b.Begin
		delete(m.stored, mark)
	} else {
		m.marks[mark] = mark0(r.begin)
	}
	var offers []*part
	for _, key := range slices.Sorted(maps.Keys(m.stored)) {
		rule, revision, name := splitKey(key)
		if rule != p.Rule.ID || revision != p.Revision {
			continue
		}
		q := &part{rule: r, gate: &r.gate, name: name, key: key, seen: now}
		if err := json.Unmarshal(m.stored[key], &q.state); err != nil {
			m.sick[rule] = append(m.sick[rule], core.Problem{Code: "state", Message: fmt.Sprintf("the gate state of %s cannot be read and is left alone: %v", name, err)})
			continue
		}
		delete(m.stored, key)
		r.parts[name] = q
		if q.Ack != nil {
			m.acked++
		}
		if q.Pending == core.StageMode || len(q.Queued) > 0 {
			offers = append(offers, q)
		}
		m.keepLater(q)
	}
	slices.SortStableFunc(offers, func(a, b *part) int { return a.waited().Compare(b.waited()) })
	r.waiting, r.queue = nil, nil
	for _, q := range offers {
		m.keepLater(q)
	}
}

// waited is since when a partition has something that waits for its turn.
func (p *part) waited() time.Time {
	if len(p.Queued) > 0 {
		return p.Queued[0].At
	}
	return p.Since
}

// newest is the time of the newest event that a partition remembers.
func (p *part) newest() time.Time {
	at := p.High
	for _, list := range [][]member{p.Members, p.Watches} {
		for i := range list {
			if list[i].Event.At.After(at) {
				at = list[i].Event.At
			}
		}
	}
	return at
}

// keepLater is keep for a partition that was loaded: nothing changed. Timers
// that fell due meanwhile are late, and not lost.
func (m *Machine) keepLater(p *part) {
	m.keep(p, p.newest())
	if p.idle() {
		m.marks[p.key] = nil
	}
}

func mark0(begin time.Time) []byte {
	text, err := json.Marshal(begun{Begin: begin})
	if err != nil {
		panic(fmt.Sprintf("encode the begin of a rule: %v", err)) // plain data always encodes
	}
	return text
}
