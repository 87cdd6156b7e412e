package core

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Board holds the standings of all Assignments and the rolled-up health of
// their Systems and Groups, and applies runs and edits to them. A storage
// backend keeps one in memory beside its tables: it applies a batch, writes
// what [Board.Dirty] names and the Transitions in one transaction, then calls
// [Board.Commit], or [Board.Rollback] when the transaction failed.
//
// A Board decides purely: it has no clock and does no I/O. It is not safe for
// concurrent use.
type Board struct {
	assignments map[string]*seat
	systems     map[string]*whole
	groups      map[string]*whole
	downstream  map[string][]*whole // systems that depend on the named one, in order of id

	dirty   map[*seat]Standing // as it was at the last Commit
	moved   map[*whole]Rolled  // as it was at the last Commit
	edits   []func()           // undo of edits since the last Commit, in order
	changes []Transition       // reused between calls
	wholes  []*whole           // reused between calls
}

// seat is one Assignment on the Board.
type seat struct {
	Assignment
	standing Standing
	from     time.Time // staleness is not counted from before this instant
	whole    *whole
}

// whole is a System or Group on the Board.
type whole struct {
	subject  Subject
	rollup   Rollup
	rolled   Rolled
	parts    []*seat  // of a System, in order of id
	members  []*whole // of a Group, in order of id
	groups   []*whole // that a System is part of, in order of id
	upstream []string // systems that a System depends on
	exists   bool     // a System that is configured; others are kept while referred to
}

// watched reports whether w is configured or has parts, so that it has health.
func (w *whole) watched() bool { return w.exists || len(w.parts) > 0 || len(w.members) > 0 }

// Rolled is the rolled-up health of a System or Group.
type Rolled struct {
	Subject       Subject   `json:"subject"`
	Health        Health    `json:"health"`
	Since         time.Time `json:"since"`
	HealthyChecks int       `json:"healthy_checks"`
	TotalChecks   int       `json:"total_checks"`
	CausedBy      []string  `json:"caused_by,omitempty"`
	Why           Why       `json:"why"`
}

// Change is an edit of what the Board watches. Deletes are applied first.
type Change struct {
	DeleteAssignments []string
	DeleteSystems     []string
	PutSystems        []System
	PutAssignments    []Assignment
}

// NewBoard is an empty Board.
func NewBoard() *Board {
	return &Board{
		assignments: map[string]*seat{},
		systems:     map[string]*whole{},
		groups:      map[string]*whole{},
		downstream:  map[string][]*whole{},
		dirty:       map[*seat]Standing{},
		moved:       map[*whole]Rolled{},
	}
}

// Load puts stored facts on the Board without deciding anything: systems and
// assignments as they are configured, standings by Assignment, and rolled-up
// health of Systems and Groups. Staleness is counted from now, so that a
// process that was down does not find everything stale when it comes back.
func (b *Board) Load(systems []System, assignments []Assignment, standings map[string]Standing, rolled []Rolled, now time.Time) {
	b.Adopt(Change{PutSystems: systems, PutAssignments: assignments}, standings, rolled, now)
}

// Adopt puts on the Board what others have decided and stored since it was
// loaded, without deciding anything: edits, standings by Assignment, and
// rolled-up health. Nothing may be uncommitted. Staleness of what is new, or
// newly enabled, is counted from now.
//
//nolint:gocognit // one loop for each kind of change
func (b *Board) Adopt(c Change, standings map[string]Standing, rolled []Rolled, now time.Time) {
	for _, id := range c.DeleteAssignments {
		if s, ok := b.assignments[id]; ok {
			b.dropSeat(s)
			s.whole.vacate()
		}
	}
	for _, id := range c.DeleteSystems {
		w := b.system(id)
		for _, s := range slices.Clone(w.parts) {
			b.dropSeat(s)
		}
		b.place(System{ID: id}).exists = false
		w.vacate()
	}
	for _, s := range c.PutSystems {
		b.place(s)
	}
	for _, a := range c.PutAssignments {
		s, ok := b.assignments[a.ID]
		if !ok {
			b.putAssignment(a, now)
			continue
		}
		if a.Enabled && !s.Enabled {
			s.from = now
		}
		s.Assignment = a
	}
	for id, standing := range standings {
		if s, ok := b.assignments[id]; ok {
			s.standing = standing
		}
	}
	for _, r := range rolled {
		var w *whole
		switch r.Subject.Kind {
		case OfSystem:
			w = b.systems[r.Subject.ID]
		case OfGroup:
			w = b.groups[r.Subject.ID]
		case OfAssignment:
		}
		if w != nil {
			w.rolled = r
		}
	}
	b.Commit()
}

// place is putSystem that leaves nothing of groups without members.
func (b *Board) place(s System) *whole {
	left := slices.Clone(b.system(s.ID).groups)
	w := b.putSystem(s)
	for _, g := range left {
		g.vacate()
	}
	return w
}

// vacate makes w begin anew if it comes back, when nothing watches it.
func (w *whole) vacate() {
	if !w.watched() {
		w.rolled = Rolled{}
	}
}

// Concerned names the Systems whose health an edit may decide anew, in order:
// what [Board.Configure] makes of it depends on the standings of their
// Assignments, and of no others.
func (b *Board) Concerned(c Change) []string {
	systems := map[*whole]bool{}
	add := func(id string) {
		for _, w := range b.dependants([]*whole{b.system(id)}) {
			systems[w] = true
		}
	}
	for _, id := range c.DeleteAssignments {
		system, _ := SplitAssignmentID(id)
		add(system)
	}
	for _, id := range c.DeleteSystems {
		add(id)
	}
	for _, s := range c.PutSystems {
		add(s.ID)
	}
	for _, a := range c.PutAssignments {
		add(a.System)
	}
	out := make([]string, 0, len(systems))
	for _, w := range inOrder(systems) {
		out = append(out, w.subject.ID)
	}
	return out
}

// Systems that are configured, by id, in no order.
func (b *Board) Systems() []string {
	out := make([]string, 0, len(b.systems))
	for id, w := range b.systems {
		if w.exists {
			out = append(out, id)
		}
	}
	return out
}

// Standing of an Assignment, false when it is not on the Board.
func (b *Board) Standing(id string) (Standing, bool) {
	s, ok := b.assignments[id]
	if !ok {
		return Standing{}, false
	}
	return s.standing, true
}

// Assignment by id, false when it is not on the Board.
func (b *Board) Assignment(id string) (Assignment, bool) {
	s, ok := b.assignments[id]
	if !ok {
		return Assignment{}, false
	}
	return s.Assignment, true
}

// System is the rolled-up health of a System, false when it is not on the
// Board.
func (b *Board) System(id string) (Rolled, bool) {
	w, ok := b.systems[id]
	if !ok || !w.watched() {
		return Rolled{}, false
	}
	return w.rolled, true
}

// Group is the rolled-up health of a Group, false when it has no members.
func (b *Board) Group(id string) (Rolled, bool) {
	w, ok := b.groups[id]
	if !ok || len(w.members) == 0 {
		return Rolled{}, false
	}
	return w.rolled, true
}

// Record applies one run, whose ID the caller has given, and returns the
// Transitions it caused: of the Assignment, then its System, then its Groups.
// Seq is zero; the caller gives it. The slice is valid until the next call.
// A run of an Assignment that is unknown or disabled moves nothing.
func (b *Board) Record(run *Run) []Transition {
	b.changes = b.changes[:0]
	s, ok := b.assignments[run.Assignment]
	if !ok || !s.Enabled {
		return nil
	}
	was := s.standing
	b.touch(s)
	s.standing = Advance(was, s.Policy, run)
	if s.standing.Health != was.Health {
		b.note(s, was.Health, CauseRun, run.ID, run.Ended, whyRun(s, run))
	}
	if s.standing.Health != was.Health || was.LastRun == 0 || s.standing.Problem.Code != was.Problem.Code || s.standing.Why.Code != was.Why.Code {
		b.wholes = append(b.wholes[:0], s.whole)
		b.roll(b.wholes, nil, CauseRun, run.ID, run.Ended)
	}
	return b.changes
}

// Expire makes those of the assignments Stale that had no recorded run for
// longer than they promise, and returns the Transitions as [Board.Record] does.
func (b *Board) Expire(ids []string, now time.Time) []Transition {
	b.changes = b.changes[:0]
	touched := map[*whole]bool{}
	for _, id := range ids {
		s, ok := b.assignments[id]
		if !ok || !s.Enabled || s.StaleAfter <= 0 || s.standing.Health == Stale {
			continue
		}
		last := s.standing.LastAt
		if last.Before(s.from) {
			last = s.from
		}
		if silent := now.Sub(last); silent > s.StaleAfter.Std() {
			was := s.standing
			b.touch(s)
			s.standing = Expire(was, now)
			b.note(s, was.Health, CauseStale, 0, now, Because("stale", "no run for {silent}, expected every {interval}",
				"silent", Duration(silent.Round(time.Second)).String(), "interval", s.Interval.String()))
			touched[s.whole] = true
		}
	}
	b.roll(inOrder(touched), nil, CauseStale, 0, now)
	return b.changes
}

// Configure applies an edit and returns the Transitions it caused, as
// [Board.Record] does, with cause config; each System and Group has at most
// one. A subject that nothing watches any longer gets a last Transition to
// Unknown with Removed set.
func (b *Board) Configure(c Change, now time.Time) []Transition {
	b.changes = b.changes[:0]
	systems, groups := map[*whole]bool{}, map[*whole]bool{}
	for _, id := range c.DeleteAssignments {
		if s, ok := b.assignments[id]; ok {
			systems[s.whole] = true
			b.unwatch(s, now, Because("unassigned", "the check no longer applies to the system"))
			b.removeSeat(s)
		}
	}
	for _, id := range c.DeleteSystems {
		if w, ok := b.systems[id]; ok && w.exists {
			for _, s := range slices.Clone(w.parts) {
				b.unwatch(s, now, Because("deleted", "the system was deleted"))
				b.removeSeat(s)
			}
			b.setSystem(System{ID: id}, false, systems, groups)
		}
	}
	for _, system := range c.PutSystems {
		b.setSystem(system, true, systems, groups)
	}
	for _, a := range c.PutAssignments {
		systems[b.configure(a, now)] = true
	}
	b.roll(inOrder(systems), inOrder(groups), CauseConfig, 0, now)
	return b.changes
}

func (b *Board) configure(a Assignment, now time.Time) *whole {
	s, ok := b.assignments[a.ID]
	if !ok {
		s = b.putAssignment(a, now)
		b.dirty[s] = Standing{}
		b.edits = append(b.edits, func() { b.dropSeat(s) })
		return s.whole
	}
	old, from := s.Assignment, s.from
	b.edits = append(b.edits, func() { s.Assignment, s.from = old, from })
	s.Assignment = a
	switch {
	case old.Enabled && !a.Enabled:
		b.unwatch(s, now, Because("disabled", "the check was disabled"))
	case !old.Enabled && a.Enabled:
		s.from = now
	case a.Enabled && !a.Policy.same(old.Policy):
		was := s.standing
		b.touch(s)
		s.standing = Reconsider(was, a.Policy, now)
		if s.standing.Health != was.Health {
			b.note(s, was.Health, CauseConfig, 0, now, Because("policy", "the policy was edited: {progress}", "progress", s.standing.Progress(a.Policy)))
		}
	}
	return s.whole
}

// Dirty calls the functions for each standing and each roll-up that changed
// since the last Commit, in no order, and gone for each System and Group of
// which nothing is left. Removed assignments are not among them.
func (b *Board) Dirty(standing func(Assignment, Standing), rolled func(Rolled), gone func(Subject)) {
	for s := range b.dirty {
		if b.assignments[s.ID] == s {
			standing(s.Assignment, s.standing)
		}
	}
	for w := range b.moved {
		if w.watched() {
			rolled(w.rolled)
		} else {
			gone(w.subject)
		}
	}
}

// Commit forgets how to undo what was applied since the last Commit.
func (b *Board) Commit() {
	clear(b.dirty)
	clear(b.moved)
	b.edits = b.edits[:0]
}

// Rollback undoes what was applied since the last Commit.
func (b *Board) Rollback() {
	for _, undo := range slices.Backward(b.edits) {
		undo()
	}
	for s, was := range b.dirty {
		s.standing = was
	}
	for w, was := range b.moved {
		w.rolled = was
	}
	b.Commit()
}

func (b *Board) touch(s *seat) {
	if _, ok := b.dirty[s]; !ok {
		b.dirty[s] = s.standing
	}
}

// unwatch makes the health of s Unknown because of an edit.
func (b *Board) unwatch(s *seat, now time.Time, why Why) {
	was := s.standing
	b.touch(s)
	s.standing = Forget(was, now)
	if was.Health != Unknown {
		b.note(s, was.Health, CauseConfig, 0, now, why)
		b.changes[len(b.changes)-1].Removed = true
	}
}

func (b *Board) note(s *seat, from Health, cause Cause, run int64, at time.Time, why Why) {
	healthy := 0
	if s.standing.Health == Healthy {
		healthy = 1
	}
	b.changes = append(b.changes, Transition{
		At: at, Subject: Subject{OfAssignment, s.ID}, From: from, To: s.standing.Health, Cause: cause, Run: run,
		HealthyChecks: healthy, TotalChecks: 1, Why: why,
	})
}

func whyRun(s *seat, run *Run) Why {
	if run.Outcome == Pass {
		return Because("passed", "{check}: {progress}", "check", s.Check, "progress", s.standing.Progress(s.Policy))
	}
	text := run.Why.Text
	if text == "" {
		text = run.Summary
	}
	return Because("failed", "{check}: {reason} ({progress})", "check", s.Check, "reason", text, "progress", s.standing.Progress(s.Policy))
}

// roll decides the health of systems anew from their parts, then that of the
// groups they are part of, and of groups besides, each once. When a System
// becomes Unhealthy or is so no longer, what its dependants are caused by may
// change too.
func (b *Board) roll(systems, groups []*whole, cause Cause, run int64, at time.Time) {
	var down []*whole
	for _, w := range systems {
		was := w.rolled.Health
		if !b.decide(w, cause, run, at) {
			continue
		}
		groups = append(groups, w.groups...)
		if (was == Unhealthy) != (w.rolled.Health == Unhealthy) {
			down = append(down, b.downstream[w.subject.ID]...)
		}
	}
	for _, w := range b.dependants(down) {
		b.blame(w)
	}
	if len(groups) > 1 {
		slices.SortFunc(groups, byID)
		groups = slices.Compact(groups)
	}
	for _, g := range groups {
		b.decide(g, cause, run, at)
	}
}

// dependants is the systems given and all that depend on them, near or far.
func (b *Board) dependants(systems []*whole) []*whole {
	if len(systems) == 0 {
		return nil
	}
	seen := map[*whole]bool{}
	var out []*whole
	for len(systems) > 0 {
		w := systems[len(systems)-1]
		systems = systems[:len(systems)-1]
		if seen[w] {
			continue
		}
		seen[w] = true
		out = append(out, w)
		systems = append(systems, b.downstream[w.subject.ID]...)
	}
	return out
}

// blame finds out anew which systems upstream w is caused by. That moves nothing
// else of it, and needs no standings: those of w may be decided elsewhere.
func (b *Board) blame(w *whole) {
	var causes []string
	if w.watched() && w.rolled.Health.Bad() {
		causes = b.causes(w)
	}
	if slices.Equal(causes, w.rolled.CausedBy) {
		return
	}
	if _, ok := b.moved[w]; !ok {
		b.moved[w] = w.rolled
	}
	w.rolled.CausedBy = causes
}

// decide sets the rolled-up health of w, notes a Transition when it moved, and
// reports whether anything about it changed.
func (b *Board) decide(w *whole, cause Cause, run int64, at time.Time) bool {
	was := w.rolled
	now := b.sum(w)
	now.Since = was.Since
	if now.Health != was.Health || was.Since.IsZero() {
		now.Since = at
	}
	watched := w.watched()
	if watched && now.equal(was) {
		return false
	}
	if _, ok := b.moved[w]; !ok {
		b.moved[w] = was
	}
	w.rolled = now
	if !watched {
		w.rolled = Rolled{} // begins anew if it comes back
	}
	if now.Health != was.Health {
		b.changes = append(b.changes, Transition{
			At: at, Subject: w.subject, From: was.Health, To: now.Health, Cause: cause, Run: run,
			HealthyChecks: now.HealthyChecks, TotalChecks: now.TotalChecks, CausedBy: now.CausedBy, Why: now.Why,
			Removed: !watched || now.TotalChecks == 0,
		})
	}
	return true
}

func (r Rolled) equal(o Rolled) bool {
	return r.Health == o.Health && r.HealthyChecks == o.HealthyChecks && r.TotalChecks == o.TotalChecks &&
		r.Since.Equal(o.Since) && r.Why.Equal(o.Why) && slices.Equal(r.CausedBy, o.CausedBy)
}

// sum is the roll-up of the parts of w, without Since.
func (b *Board) sum(w *whole) Rolled {
	out := Rolled{Subject: w.subject}
	var count [Stale + 1]int
	worst := -1
	var culprit Why
	consider := func(h Health, why func() Why) {
		count[h]++
		if h.Severity() > worst {
			worst, out.Health, culprit = h.Severity(), h, why()
		}
	}
	for _, s := range w.parts {
		if !s.Enabled {
			continue
		}
		out.TotalChecks++
		if s.standing.Health == Healthy {
			out.HealthyChecks++
		}
		consider(s.standing.Health, func() Why { return whySeat(s) })
	}
	for _, m := range w.members {
		if m.rolled.TotalChecks == 0 {
			continue
		}
		out.TotalChecks += m.rolled.TotalChecks
		out.HealthyChecks += m.rolled.HealthyChecks
		consider(m.rolled.Health, func() Why {
			return Because("member", "{system}: {reason}", "system", m.subject.ID, "reason", m.rolled.Why.Text)
		})
	}
	parts := count[Unknown] + count[Healthy] + count[Degraded] + count[Unhealthy] + count[Stale]
	gone := count[Unhealthy] + count[Stale]
	if q := w.rollup.Quorum; q > 0 && gone > 0 && gone < q {
		out.Health = Degraded
		culprit = Because("quorum", "{gone} of {parts} are down, unhealthy at {quorum}: {reason}",
			"gone", strconv.Itoa(gone), "parts", strconv.Itoa(parts), "quorum", strconv.Itoa(q), "reason", culprit.Text)
	}
	switch {
	case parts == 0:
		out.Why = Because("unwatched", "no check watches it")
	case out.Health == Healthy:
		out.Why = Because("healthy", "all {total} checks within their limits", "total", strconv.Itoa(out.TotalChecks))
		if out.TotalChecks == 1 {
			out.Why = Because("healthy", "its check is within its limits")
		}
	default:
		out.Why = culprit
	}
	if out.Health.Bad() {
		out.CausedBy = b.causes(w)
	}
	return out
}

func whySeat(s *seat) Why {
	switch st := s.standing; {
	case st.Health == Unknown && !st.Problem.IsZero():
		return Because("problem", "{check}: {reason}", "check", s.Check, "reason", st.Problem.Text)
	case st.Health == Unknown && st.LastRun == 0:
		return Because("waiting", "{check}: no run yet", "check", s.Check)
	case st.Health == Unknown:
		return Because("undecided", "{check}: {progress}", "check", s.Check, "progress", st.Progress(s.Policy))
	case st.Health == Stale:
		return Because("stale", "{check}: no news since {last}", "check", s.Check, "last", st.LastAt.UTC().Format(time.RFC3339))
	case st.Health == Healthy:
		return Because("healthy", "{check}: within its limits", "check", s.Check)
	default:
		reason := st.Why.Text
		if reason == "" { // an edit of the policy moved it
			reason = st.Progress(s.Policy)
		}
		return Because("failing", "{check}: {reason}", "check", s.Check, "reason", reason)
	}
}

// causes names the systems upstream of w that are Unhealthy and have no such
// cause themselves, so that one root cause is shown once.
func (b *Board) causes(w *whole) []string {
	var out []string
	seen := map[string]bool{w.subject.ID: true}
	var walk func(ids []string) bool
	walk = func(ids []string) bool {
		found := false
		for _, id := range ids {
			up := b.systems[id]
			if up == nil || seen[id] {
				continue
			}
			seen[id] = true
			above := walk(up.upstream)
			if up.rolled.Health == Unhealthy && !above {
				out = append(out, id)
			}
			found = found || above || up.rolled.Health == Unhealthy
		}
		return found
	}
	walk(w.upstream)
	slices.Sort(out)
	return out
}

func (b *Board) system(id string) *whole {
	w, ok := b.systems[id]
	if !ok {
		w = &whole{subject: Subject{OfSystem, id}}
		b.systems[id] = w
	}
	return w
}

func (b *Board) putSystem(s System) *whole {
	w := b.system(s.ID)
	for _, g := range w.groups {
		g.members = without(g.members, w)
	}
	for _, id := range w.upstream {
		b.downstream[id] = without(b.downstream[id], w)
	}
	for _, id := range s.DependsOn {
		b.downstream[id] = with(b.downstream[id], w, byID)
	}
	w.groups, w.rollup, w.upstream, w.exists = nil, s.Rollup, s.DependsOn, true
	for _, id := range s.Groups {
		g, ok := b.groups[id]
		if !ok {
			g = &whole{subject: Subject{OfGroup, id}}
			b.groups[id] = g
		}
		g.members = with(g.members, w, byID)
		w.groups = with(w.groups, g, byID)
	}
	return w
}

// setSystem is putSystem, or its opposite, with undo. It adds what must be
// rolled up anew to systems and groups.
func (b *Board) setSystem(s System, exists bool, systems, groups map[*whole]bool) {
	w := b.system(s.ID)
	was := System{ID: s.ID, Rollup: w.rollup, DependsOn: w.upstream}
	for _, g := range w.groups {
		groups[g] = true
		was.Groups = append(was.Groups, g.subject.ID)
	}
	had := w.exists
	b.edits = append(b.edits, func() { b.putSystem(was).exists = had })
	b.putSystem(s)
	w.exists = exists
	for _, g := range w.groups {
		groups[g] = true
	}
	for _, d := range b.dependants([]*whole{w}) {
		systems[d] = true // what is upstream of them may have changed
	}
}

func (b *Board) putAssignment(a Assignment, now time.Time) *seat {
	s := &seat{Assignment: a, from: now, whole: b.system(a.System)}
	b.addSeat(s)
	return s
}

func (b *Board) addSeat(s *seat) {
	b.assignments[s.ID] = s
	s.whole.parts = with(s.whole.parts, s, func(x, y *seat) int { return cmp.Compare(x.ID, y.ID) })
}

func (b *Board) dropSeat(s *seat) {
	delete(b.assignments, s.ID)
	s.whole.parts = without(s.whole.parts, s)
}

func (b *Board) removeSeat(s *seat) {
	b.edits = append(b.edits, func() { b.addSeat(s) })
	b.dropSeat(s)
}

func byID(x, y *whole) int { return cmp.Compare(x.subject.ID, y.subject.ID) }

// inOrder is the keys of set in order of id.
func inOrder(set map[*whole]bool) []*whole {
	if len(set) == 0 {
		return nil
	}
	return slices.SortedFunc(maps.Keys(set), byID)
}

// with is list, which is in order, with one more in its place; list itself
// when it holds it already.
func with[T comparable](list []T, one T, order func(T, T) int) []T {
	i, found := slices.BinarySearchFunc(list, one, order)
	if found {
		return list
	}
	return slices.Insert(list, i, one)
}

func without[T comparable](list []T, gone T) []T {
	i := slices.Index(list, gone)
	if i < 0 {
		return list
	}
	return slices.Delete(list, i, i+1)
}
