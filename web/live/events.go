package live

import (
	"slices"
	"strings"
	"sync"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// How many events are kept for browsers that come back. Runs are many and have
// a ring of their own, lest they push out what is rare.
const (
	keepEvents = 1024
	keepRuns   = 4096
)

// event is one entry of the event topics, encoded when it is first sent.
type event struct {
	seq    int64
	topics []string
	body   wire.Event
	text   func() []byte
}

// events fans events out to subscriptions and keeps the newest.
type events struct {
	subs    map[string]map[*sub]struct{}
	rare    ring // transitions, decisions, firings, edits
	runs    ring
	pending []*event // gathered since the newest publish
}

// ring keeps the newest events.
type ring struct {
	kept []*event // oldest first
	lost int64    // every event after this sequence number is kept
}

func newEvents() events { return events{subs: map[string]map[*sub]struct{}{}} }

func (r *ring) add(e *event, most int) {
	r.kept = append(r.kept, e)
	if over := len(r.kept) - most; over > most/2 {
		r.lost = r.kept[over-1].seq
		r.kept = append([]*event(nil), r.kept[over:]...)
	}
}

// add gathers an event of the topics.
func (e *events) add(body wire.Event, topics ...string) {
	e.pending = append(e.pending, &event{
		topics: topics, body: body,
		text: sync.OnceValue(func() []byte { return encode(body) }),
	})
}

// publish gives what was gathered the sequence number and queues it for whom
// it concerns. A queue that is full is emptied and its browser sent to HTTP.
func (e *events) publish(seq int64, most int) {
	for _, ev := range e.pending {
		ev.seq = seq
		if ev.body.Run != nil {
			e.runs.add(ev, keepRuns)
		} else {
			e.rare.add(ev, keepEvents)
		}
		for _, topic := range ev.topics {
			for s := range e.subs[topic] {
				s.push(ev, most)
			}
		}
	}
	e.pending = e.pending[:0]
}

func (e *events) subscribe(s *sub) {
	set := e.subs[s.topic]
	if set == nil {
		set = map[*sub]struct{}{}
		e.subs[s.topic] = set
	}
	set[s] = struct{}{}
}

func (e *events) unsubscribe(s *sub) {
	delete(e.subs[s.topic], s)
	if len(e.subs[s.topic]) == 0 {
		delete(e.subs, s.topic)
	}
}

// wanted reports whether anybody subscribes to a topic with one of the
// prefixes.
func (e *events) wanted(prefixes ...string) bool {
	for topic := range e.subs {
		for _, p := range prefixes {
			if strings.HasPrefix(topic, p) {
				return true
			}
		}
	}
	return false
}

// missed lists the kept events of a topic after since, in order; false when
// some of them are not kept any more.
func (e *events) missed(topic string, since int64) ([]*event, bool) {
	if since < e.rare.lost || strings.HasPrefix(topic, topicSystem) && since < e.runs.lost {
		return nil, false
	}
	var out []*event
	i, j := 0, 0
	for i < len(e.rare.kept) || j < len(e.runs.kept) {
		var next *event
		if j >= len(e.runs.kept) || i < len(e.rare.kept) && e.rare.kept[i].seq <= e.runs.kept[j].seq {
			next = e.rare.kept[i]
			i++
		} else {
			next = e.runs.kept[j]
			j++
		}
		if next.seq > since && next.concerns(topic) {
			out = append(out, next)
		}
	}
	return out, true
}

func (e *event) concerns(topic string) bool {
	return slices.Contains(e.topics, topic)
}

// The topics; those that end in a colon are followed by an id.
const (
	topicFleet    = "fleet"
	topicRows     = "rows"
	topicActivity = "activity"
	topicSystem   = "system:"
	topicRule     = "rule:"
)

// aboutSubject is the topic of the System that a subject is, or belongs to;
// empty for a Group.
func aboutSubject(s core.Subject) []string {
	switch s.Kind {
	case core.OfSystem:
		return []string{topicSystem + s.ID}
	case core.OfAssignment:
		id, _ := core.SplitAssignmentID(s.ID)
		return []string{topicSystem + id}
	case core.OfGroup:
	}
	return nil
}
