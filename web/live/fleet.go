package live

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// fleet is the newest state of every System of an epoch. A handle is an index
// into its slices and is never given to another System.
type fleet struct {
	epoch   string
	seq     int64 // of the newest publish, of whatever
	newest  int64 // of the newest publish that changed a System
	handles map[string]int
	systems []system
	changed []int64 // sequence number of the newest change, by handle
	labels  []int64 // of the newest change of name, groups or tags
	touched []int   // changed since the newest publish
	relabel []int

	assignments map[string][]string // enabled ones, by id of System
}

// system is one System as browsers see it.
type system struct {
	core.System
	gone   bool
	rolled core.Rolled
	flags  int
	text   systemText
}

// systemText is JSON that is made once a change and not once a snapshot.
type systemText struct {
	id, name, groups, tags, why []byte
}

func newFleet(epoch string) fleet {
	return fleet{epoch: epoch, handles: map[string]int{}}
}

// touch notes that the state of a handle changed.
func (f *fleet) touch(handle int) { f.touched = append(f.touched, handle) }

// publish gives everything touched one new sequence number. It reports
// whether there was anything, or something else that needs a number.
func (f *fleet) publish(more bool) bool {
	if len(f.touched) == 0 && len(f.relabel) == 0 {
		if more {
			f.seq++
		}
		return more
	}
	f.seq++
	f.newest = f.seq
	for _, h := range f.relabel {
		f.labels[h], f.changed[h] = f.seq, f.seq
	}
	for _, h := range f.touched {
		f.changed[h] = f.seq
	}
	f.touched, f.relabel = f.touched[:0], f.relabel[:0]
	return true
}

// configure makes the Systems those listed: new ones get a handle, those that
// are missing become tombstones.
func (f *fleet) configure(systems []core.System) {
	there := make(map[string]bool, len(systems))
	for _, s := range systems {
		there[s.ID] = true
		handle, ok := f.handles[s.ID]
		if !ok {
			handle = len(f.systems)
			f.handles[s.ID] = handle
			f.systems = append(f.systems, system{System: s, rolled: core.Rolled{
				Subject: core.Subject{Kind: core.OfSystem, ID: s.ID}, Why: core.Because("unwatched", "no check watches it"),
			}})
			f.changed, f.labels = append(f.changed, 0), append(f.labels, 0)
			f.systems[handle].encodeWhy()
		} else if sameLabels(f.systems[handle].System, s) {
			f.systems[handle].System = s
			continue
		}
		f.systems[handle].System = s
		f.systems[handle].encodeLabels()
		f.relabel = append(f.relabel, handle)
	}
	for id, handle := range f.handles {
		if !there[id] {
			f.systems[handle] = system{System: core.System{ID: id}, gone: true, text: f.systems[handle].text}
			delete(f.handles, id)
			f.touch(handle)
		}
	}
}

func sameLabels(a, b core.System) bool {
	return a.Label() == b.Label() && slices.Equal(a.Groups, b.Groups) && maps.Equal(a.Tags, b.Tags)
}

// roll sets the rolled-up health of a System.
func (f *fleet) roll(r core.Rolled) {
	handle, ok := f.handles[r.Subject.ID]
	if !ok {
		return
	}
	s := &f.systems[handle]
	was := s.rolled
	if was.Health == r.Health && was.Since.Equal(r.Since) && was.HealthyChecks == r.HealthyChecks &&
		was.TotalChecks == r.TotalChecks && slices.Equal(was.CausedBy, r.CausedBy) && was.Why.Equal(r.Why) {
		return
	}
	s.rolled = r
	if !was.Why.Equal(r.Why) || s.text.why == nil {
		s.encodeWhy()
	}
	f.touch(handle)
	f.flag(handle, wire.FlagCaused, len(r.CausedBy) > 0)
}

// flag sets or clears a flag of a System.
func (f *fleet) flag(handle, flag int, on bool) {
	s := &f.systems[handle]
	flags := s.flags &^ flag
	if on {
		flags |= flag
	}
	if flags != s.flags {
		s.flags = flags
		f.touch(handle)
	}
}

// flagAll sets a flag on the Systems listed and clears it on all others.
func (f *fleet) flagAll(flag int, ids map[string]bool) {
	for id, handle := range f.handles {
		f.flag(handle, flag, ids[id])
	}
}

func (s *system) encodeLabels() {
	groups, tags := s.Groups, s.Tags
	if groups == nil {
		groups = []string{}
	}
	if tags == nil {
		tags = map[string]string{}
	}
	s.text.id, s.text.name, s.text.groups, s.text.tags = encode(s.ID), encode(s.Label()), encode(groups), encode(tags)
}

func (s *system) encodeWhy() { s.text.why = encode(s.rolled.Why) }

// encode is v as JSON. What is encoded here are values of strings, numbers and
// the types of wire, which have no way to fail.
func encode(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return text
}

// row is the newest state of a handle, with its labels when they changed after
// since.
func (f *fleet) row(handle int, since int64) wire.FleetRow {
	s := &f.systems[handle]
	r := wire.FleetRow{
		H: handle, Health: s.rolled.Health, Flags: s.flags, Since: milli(s.rolled.Since), Why: s.rolled.Why,
		OK: s.rolled.HealthyChecks, Total: s.rolled.TotalChecks, Gone: s.gone,
	}
	if f.labels[handle] > since && !s.gone {
		r.ID, r.Name, r.Groups, r.Tags = s.ID, s.Label(), s.Groups, s.Tags
	}
	return r
}

// delta is the state of everything that changed after since.
func (f *fleet) delta(since int64) []wire.FleetRow {
	var rows []wire.FleetRow
	for handle, seq := range f.changed {
		if seq > since {
			rows = append(rows, f.row(handle, since))
		}
	}
	return rows
}

// milli is t in ms since 1970, 0 for the zero time.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Snapshot is the whole fleet as the HTTP API sends it.
type Snapshot struct {
	Epoch string
	Seq   int64
	JSON  []byte // a wire.Fleet; shared, not to be changed
	Gzip  []byte // the same, compressed
}

// ETag is the entity tag of the snapshot.
func (s Snapshot) ETag() string { return fmt.Sprintf(`"%s:%d"`, s.Epoch, s.Seq) }

// Fleet is the newest state of all Systems. A snapshot is made once for each
// sequence number and shared by everybody who asks.
func (h *Hub) Fleet() Snapshot {
	h.snap.Lock()
	defer h.snap.Unlock()
	h.mu.Lock()
	h.asked = time.Now()
	if h.snap.JSON != nil && h.snap.Epoch == h.fleet.epoch && h.snap.Seq == h.fleet.seq {
		defer h.mu.Unlock()
		return h.snap.Snapshot
	}
	next := Snapshot{Epoch: h.fleet.epoch, Seq: h.fleet.seq}
	next.JSON = h.fleet.snapshot(h.asked)
	h.mu.Unlock()
	next.Gzip = compress(next.JSON)
	h.snap.Snapshot = next
	return next
}

// Rolled is what the Hub knows of a System: its health and its flags.
func (h *Hub) Rolled(id string) (rolled core.Rolled, flags int, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	handle, ok := h.fleet.handles[id]
	if !ok {
		return core.Rolled{}, 0, false
	}
	return h.fleet.systems[handle].rolled, h.fleet.systems[handle].flags, true
}

// compress prefers speed: a snapshot is made again after each change.
func compress(text []byte) []byte {
	var b bytes.Buffer
	b.Grow(len(text) / 8)
	z, err := gzip.NewWriterLevel(&b, 4)
	if err != nil {
		return nil
	}
	if _, err = z.Write(text); err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil
	}
	return b.Bytes()
}

// snapshot is a wire.Fleet as JSON. It is written by hand, column by column
// from texts that are there already, because it is the largest answer of the
// API and is made after every change.
func (f *fleet) snapshot(now time.Time) []byte {
	live := make([]*system, 0, len(f.handles))
	handles := make([]int, 0, len(f.handles))
	for handle := range f.systems {
		if !f.systems[handle].gone {
			live, handles = append(live, &f.systems[handle]), append(handles, handle)
		}
	}
	b := make([]byte, 0, 200+len(live)*220)
	b = fmt.Appendf(b, `{"epoch":%q,"seq":%d,"now":%d,"h":[`, f.epoch, f.seq, now.UnixMilli())
	for i, handle := range handles {
		b = strconv.AppendInt(comma(b, i), int64(handle), 10)
	}
	texts := func(name string, of func(*system) []byte) {
		b = append(b, `],"`+name+`":[`...)
		for i, s := range live {
			b = append(comma(b, i), of(s)...)
		}
	}
	numbers := func(name string, of func(*system) int64) {
		b = append(b, `],"`+name+`":[`...)
		for i, s := range live {
			b = strconv.AppendInt(comma(b, i), of(s), 10)
		}
	}
	texts("id", func(s *system) []byte { return s.text.id })
	texts("name", func(s *system) []byte { return s.text.name })
	texts("groups", func(s *system) []byte { return s.text.groups })
	texts("tags", func(s *system) []byte { return s.text.tags })
	b = append(b, `],"health":"`...)
	for _, s := range live {
		b = append(b, '0'+byte(s.rolled.Health))
	}
	b = append(b, `","flags":[`...)
	for i, s := range live {
		b = strconv.AppendInt(comma(b, i), int64(s.flags), 10)
	}
	numbers("since", func(s *system) int64 { return milli(s.rolled.Since) })
	texts("why", func(s *system) []byte { return s.text.why })
	numbers("ok", func(s *system) int64 { return int64(s.rolled.HealthyChecks) })
	numbers("total", func(s *system) int64 { return int64(s.rolled.TotalChecks) })
	return append(b, "]}\n"...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

// Count is how many Systems have each Health, by its number.
func (h *Hub) Count() [core.Stale + 1]int {
	var out [core.Stale + 1]int
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, handle := range h.fleet.handles {
		out[h.fleet.systems[handle].rolled.Health]++
	}
	return out
}
