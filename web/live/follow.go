package live

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

const (
	traceEvery = 250 * time.Millisecond // decisions and firings, while somebody looks
	flagsEvery = time.Second            // maintenance, silences and open episodes
	rowsEvery  = time.Minute            // uptime of the rows in use
	idlePoll   = time.Minute            // instead of Options.Poll while nobody looks
	grace      = time.Minute            // runs and decisions are followed on, for browsers that come back
	pollShare  = 50                     // polling takes at most one part in so many of the time
	pageSize   = 1000
	mostPages  = 10
)

// follower is the loop of a Hub: the only one that reads storage to change its
// state. Its fields belong to that loop.
type follower struct {
	h            *Hub
	logMoved     chan chan int64 // hints; the answer is how far the loop got
	catalogMoved chan chan int64

	started bool
	log     int64 // newest transition dealt with
	version int64 // of the catalog
	stale   struct{ log, catalog, poll bool }

	versions map[string]int64 // of objects by "kind:id", to tell what was edited
	spans    []quietSpan

	polled, flagged, traced, rowed, published time.Time
	wantedRuns, wantedTrace                   time.Time // when somebody looked last
	pollTook                                  time.Duration

	tracing bool
	decided int64                        // newest decision dealt with
	firings map[string]core.FiringStatus // as they were last told
}

// quietSpan is a Maintenance or a Silence with the Systems it is about.
type quietSpan struct {
	flag         int
	starts, ends time.Time
	systems      []string
}

func newFollower(h *Hub) *follower {
	f := &follower{h: h, logMoved: make(chan chan int64), catalogMoved: make(chan chan int64), version: -1}
	f.stale.log, f.stale.catalog, f.stale.poll = true, true, true
	return f
}

// run deals with whatever is due: at once when a hint comes after a quiet
// tick, else at the next tick, so that there is at most one publish a tick.
func (f *follower) run(ctx context.Context) error {
	tick := time.NewTicker(f.h.o.Tick)
	defer tick.Stop()
	for {
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			f.fail(ctx, err)
		}
		var answer chan int64
		var at *int64
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			continue
		case answer = <-f.logMoved:
			f.stale.log, at = true, &f.log
		case answer = <-f.catalogMoved:
			f.stale.catalog, at = true, &f.version
		}
		pause(ctx, f.h.o.Tick-time.Since(f.published))
		if err := f.step(ctx); err != nil && ctx.Err() == nil {
			f.fail(ctx, err)
		}
		answer <- *at
	}
}

// fail notes a fault of the storage. No heartbeats are sent until it is over,
// so that browsers show their data as stale and not as live.
func (f *follower) fail(ctx context.Context, err error) {
	f.h.d.Logger.WarnContext(ctx, "follow storage", slog.Any("err", err))
	f.setFailing(true)
	f.stale.log, f.stale.catalog, f.stale.poll = true, true, true
	pause(ctx, time.Second)
}

func (f *follower) setFailing(failing bool) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	f.h.failing = failing
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// watchLog tells the loop that the Log moved.
func (f *follower) watchLog(ctx context.Context) error {
	return f.watch(ctx, f.logMoved, f.h.d.Log.Wait)
}

// watchCatalog tells the loop that the catalog moved.
func (f *follower) watchCatalog(ctx context.Context) error {
	return f.watch(ctx, f.catalogMoved, f.h.d.Catalog.Changed)
}

func (f *follower) watch(ctx context.Context, hint chan<- chan int64, wait func(context.Context, int64) error) error {
	at := int64(-1)
	for {
		if at >= 0 {
			if err := wait(ctx, at); err != nil && ctx.Err() == nil {
				f.h.d.Logger.WarnContext(ctx, "wait for storage", slog.Any("err", err))
				pause(ctx, time.Second)
			}
		}
		answer := make(chan int64, 1)
		select {
		case <-ctx.Done():
			return nil
		case hint <- answer:
		}
		select {
		case <-ctx.Done():
			return nil
		case at = <-answer:
		}
	}
}

// step does what is due and publishes what came of it.
func (f *follower) step(ctx context.Context) error {
	now := time.Now()
	if !f.started {
		if err := f.start(ctx); err != nil {
			return err
		}
	}
	f.notice(now)
	for _, part := range []func(context.Context, time.Time) error{f.catalog, f.drain, f.poll, f.runs, f.trace, f.flags} {
		if err := part(ctx, now); err != nil {
			return err
		}
	}
	f.h.mu.Lock()
	f.h.failing = false
	f.h.computeRows(now, now.Sub(f.rowed) >= rowsEvery)
	moved := f.h.publish()
	f.h.mu.Unlock()
	if now.Sub(f.rowed) >= rowsEvery {
		f.rowed = now
	}
	if moved {
		f.published = now
	}
	if !f.started {
		f.started = true
		close(f.h.loaded)
	}
	return nil
}

// start finds the end of the Log: what came before is in the roll-ups.
func (f *follower) start(ctx context.Context) error {
	head, err := f.h.d.Log.Head(ctx)
	if err != nil {
		return fmt.Errorf("find the end of the log: %w", err)
	}
	f.log = head
	return nil
}

// notice looks at what somebody is looking at.
func (f *follower) notice(now time.Time) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if f.h.events.wanted(topicRows, topicSystem) {
		f.wantedRuns = now
	}
	if f.h.events.wanted(topicActivity, topicSystem, topicRule) {
		f.wantedTrace = now
	}
}

// watched reports whether anybody looks at the fleet.
func (f *follower) watched(now time.Time) bool {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	return len(f.h.clients) > 0 || now.Sub(f.h.asked) < grace
}

// catalog reads what people wrote when it changed.
func (f *follower) catalog(ctx context.Context, now time.Time) error {
	if !f.stale.catalog {
		return nil
	}
	objects, version, err := f.h.d.Catalog.Objects(ctx)
	if err != nil {
		return fmt.Errorf("read the catalog: %w", err)
	}
	if version == f.version {
		f.stale.catalog = false
		return nil
	}
	assignments, err := f.h.d.Catalog.Assignments(ctx)
	if err != nil {
		return fmt.Errorf("read the assignments: %w", err)
	}
	systems, spans, err := f.decode(objects, now)
	if err != nil {
		return err
	}
	enabled := map[string][]string{}
	for _, a := range assignments {
		if a.Enabled {
			enabled[a.System] = append(enabled[a.System], a.ID)
		}
	}
	f.h.mu.Lock()
	f.h.fleet.configure(systems)
	f.h.fleet.assignments = enabled
	f.edits(objects)
	f.h.mu.Unlock()
	f.spans, f.version = spans, version
	f.stale.catalog, f.stale.poll = false, true
	f.polled, f.flagged = time.Time{}, time.Time{}
	return nil
}

// decode makes values of stored objects.
//
//nolint:gocognit // a case for each kind
func (f *follower) decode(objects []store.Object, now time.Time) ([]core.System, []quietSpan, error) {
	var systems []core.System
	var plans []core.Maintenance
	var silences []core.Silence
	for _, o := range objects {
		var err error
		switch o.Kind {
		case store.Systems:
			var s core.System
			if err = json.Unmarshal(o.Body, &s); err == nil {
				systems = append(systems, s)
			}
		case store.Maintenances:
			var m core.Maintenance
			if err = json.Unmarshal(o.Body, &m); err == nil && m.Ends.After(now) {
				plans = append(plans, m)
			}
		case store.Silences:
			var s core.Silence
			if err = json.Unmarshal(o.Body, &s); err == nil && s.Ends.After(now) {
				silences = append(silences, s)
			}
		case store.Checks, store.Rules, store.Acknowledgements, store.Channels:
		}
		if err != nil {
			return nil, nil, fmt.Errorf("decode the %s %s: %w", o.Kind, o.ID, err)
		}
	}
	spans := make([]quietSpan, 0, len(plans)+len(silences))
	for _, m := range plans {
		span := quietSpan{flag: wire.FlagMaintenance, starts: m.Starts, ends: m.Ends, systems: m.Systems.Names}
		if f.h.d.Select != nil {
			span.systems = f.h.d.Select(m.Systems, systems)
		}
		spans = append(spans, span)
	}
	for _, s := range silences {
		span := quietSpan{flag: wire.FlagSilenced, starts: s.Starts, ends: s.Ends, systems: s.Systems.Names}
		if f.h.d.Silences != nil {
			span.systems = f.h.d.Silences(s, systems)
		}
		spans = append(spans, span)
	}
	return systems, spans, nil
}

// edits tells what was edited since the catalog was read last, with h.mu held.
func (f *follower) edits(objects []store.Object) {
	now := make(map[string]int64, len(objects))
	tell := func(key string) {
		if f.versions == nil {
			return
		}
		topics := []string{topicActivity}
		if kind, id, _ := strings.Cut(key, ":"); kind == string(store.Systems) {
			topics = append(topics, topicSystem+id)
		}
		f.h.events.add(wire.Event{Config: key}, topics...)
	}
	for _, o := range objects {
		key := string(o.Kind) + ":" + o.ID
		now[key] = o.Version
		if f.versions[key] != o.Version {
			tell(key)
		}
	}
	for key := range f.versions {
		if _, ok := now[key]; !ok {
			tell(key)
		}
	}
	f.versions = now
}

// drain applies the Log from where the loop got to.
func (f *follower) drain(ctx context.Context, _ time.Time) error {
	for f.stale.log {
		got, err := f.h.d.Log.After(ctx, f.log, pageSize)
		if err != nil {
			return fmt.Errorf("read the log after %d: %w", f.log, err)
		}
		f.h.mu.Lock()
		for i := range got {
			f.apply(&got[i])
		}
		f.h.mu.Unlock()
		f.stale.log = len(got) == pageSize
	}
	return nil
}

// apply moves the state by one Transition, with h.mu held.
func (f *follower) apply(t *core.Transition) {
	f.log = t.Seq
	f.h.events.add(wire.Event{Transition: t}, append(aboutSubject(t.Subject), topicActivity)...)
	f.stale.poll = true // reasons and counts of others may have moved with it
	if t.Subject.Kind != core.OfSystem {
		return
	}
	f.h.fleet.roll(core.Rolled{
		Subject: t.Subject, Health: t.To, Since: t.At, HealthyChecks: t.HealthyChecks, TotalChecks: t.TotalChecks,
		CausedBy: t.CausedBy, Why: t.Why,
	})
	if handle, ok := f.h.fleet.handles[t.Subject.ID]; ok {
		if d := f.h.rows.details[handle]; d != nil {
			d.spans = append(d.spans, *t)
		}
	}
}

// poll reads what moves without a Transition: reasons, counts and problems.
// The Log was drained before, so the roll-ups are at least as new as it; what
// they hold ahead of it is applied again by the next drain and ends the same.
func (f *follower) poll(ctx context.Context, now time.Time) error {
	wait := f.h.o.Poll
	switch watched := f.watched(now); {
	case watched && f.stale.poll:
		wait = min(wait, time.Second)
	case !watched && !f.stale.poll:
		wait = idlePoll
	}
	if !f.polled.IsZero() && now.Sub(f.polled) < max(wait, pollShare*f.pollTook) {
		return nil
	}
	rolled, err := f.h.d.Ledger.Rolled(ctx)
	if err != nil {
		return fmt.Errorf("read the health of systems: %w", err)
	}
	standings, err := f.h.d.Ledger.Standings(ctx)
	if err != nil {
		return fmt.Errorf("read standings: %w", err)
	}
	f.h.mu.Lock()
	for _, r := range rolled {
		if r.Subject.Kind == core.OfSystem {
			f.h.fleet.roll(r)
		}
	}
	problems := map[string]bool{}
	for system, ids := range f.h.fleet.assignments {
		for _, id := range ids {
			if s := standings[id]; !s.Problem.IsZero() {
				problems[system] = true
			}
		}
	}
	f.h.fleet.flagAll(wire.FlagProblem, problems)
	f.h.mu.Unlock()
	f.polled, f.pollTook = now, time.Since(now)
	f.stale.poll, f.stale.log = false, true
	return f.drain(ctx, now)
}

// runs follows runs while somebody looks at rows or at a System.
func (f *follower) runs(ctx context.Context, now time.Time) error {
	f.h.mu.Lock()
	following, cursor := f.h.rows.following, f.h.rows.cursor
	if following && now.Sub(f.wantedRuns) > grace {
		f.h.rows.stop()
		f.h.events.runs = ring{lost: f.h.fleet.seq}
		following = false
	}
	f.h.mu.Unlock()
	for range mostPages {
		if !following {
			return nil
		}
		runs, newest, err := f.h.d.History.RunsAfter(ctx, cursor, pageSize)
		if err != nil {
			return fmt.Errorf("read runs after %d: %w", cursor, err)
		}
		cursor = newest
		if len(runs) > 0 {
			cursor = runs[len(runs)-1].ID
		}
		f.h.mu.Lock()
		f.h.addRuns(runs)
		f.h.rows.cursor = max(f.h.rows.cursor, cursor)
		f.h.mu.Unlock()
		following = len(runs) == pageSize
	}
	return nil
}

// addRuns applies runs to rows and tells whom they concern, with h.mu held.
func (h *Hub) addRuns(runs []core.Run) {
	for i := range runs {
		run := &runs[i]
		id, _ := core.SplitAssignmentID(run.Assignment)
		h.events.add(wire.Event{Run: run}, topicSystem+id)
		handle, ok := h.fleet.handles[id]
		if !ok {
			continue
		}
		if d := h.rows.details[handle]; d != nil && d.add(short(run)) {
			h.rows.touched = append(h.rows.touched, handle)
		}
	}
}

// startRuns begins to follow runs, if they are not followed.
func (h *Hub) startRuns(ctx context.Context) error {
	h.mu.Lock()
	following := h.rows.following
	h.mu.Unlock()
	if following {
		return nil
	}
	_, newest, err := h.d.History.RunsAfter(ctx, -1, 1)
	if err != nil {
		return fmt.Errorf("find the newest run: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.rows.following {
		h.rows.following, h.rows.cursor = true, newest
		h.events.runs = ring{lost: h.fleet.seq}
	}
	return nil
}

// trace follows decisions and firings while somebody looks at them.
func (f *follower) trace(ctx context.Context, now time.Time) error {
	if now.Sub(f.wantedTrace) > grace {
		f.tracing = false
		return nil
	}
	if f.tracing && now.Sub(f.traced) < traceEvery {
		return nil
	}
	f.traced = now
	decisions, err := f.newDecisions(ctx)
	if err != nil {
		return err
	}
	firings, err := f.h.d.Trace.Firings(ctx, store.FiringQuery{Limit: 100})
	if err != nil {
		return fmt.Errorf("read firings: %w", err)
	}
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	if !f.tracing {
		// What was decided while nobody looked is not in the ring.
		f.h.events.rare = ring{lost: f.h.fleet.seq}
	}
	for i := range decisions {
		d := &decisions[i]
		f.decided = max(f.decided, d.ID)
		if f.tracing {
			f.h.events.add(wire.Event{Decision: d}, append(aboutSubject(d.Subject), topicRule+d.Rule)...)
		}
	}
	f.tellFirings(firings)
	f.tracing = true
	return nil
}

// newDecisions reads the decisions since the last time, oldest first.
func (f *follower) newDecisions(ctx context.Context) ([]core.Decision, error) {
	var out []core.Decision
	before := int64(0)
	limit := 100
	if !f.tracing {
		limit = 1
	}
	for range mostPages {
		got, err := f.h.d.Trace.Decisions(ctx, store.DecisionQuery{Before: before, Limit: limit})
		if err != nil {
			return nil, fmt.Errorf("read decisions: %w", err)
		}
		out = append(out, got...)
		if len(got) < limit || !f.tracing || got[len(got)-1].ID <= f.decided+1 {
			break
		}
		before = got[len(got)-1].ID
	}
	if f.tracing {
		out = slices.DeleteFunc(out, func(d core.Decision) bool { return d.ID <= f.decided })
	}
	slices.SortFunc(out, func(a, b core.Decision) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// tellFirings tells of firings that are new or got another status, with h.mu
// held.
func (f *follower) tellFirings(newest []core.Firing) {
	now := make(map[string]core.FiringStatus, len(newest))
	for i := range slices.Backward(newest) {
		fi := &newest[i]
		now[fi.ID] = fi.Status
		if was, ok := f.firings[fi.ID]; f.tracing && (!ok || was != fi.Status) {
			f.h.events.add(wire.Event{Firing: fi}, append(aboutSubject(fi.Subject), topicActivity, topicRule+fi.Rule)...)
		}
	}
	f.firings = now
}

// flags finds what is in maintenance, silenced or has an open episode now.
func (f *follower) flags(_ context.Context, now time.Time) error {
	if now.Sub(f.flagged) < flagsEvery {
		return nil
	}
	f.flagged = now
	ids := map[int]map[string]bool{wire.FlagMaintenance: {}, wire.FlagSilenced: {}}
	for _, s := range f.spans {
		if now.Before(s.starts) || !now.Before(s.ends) {
			continue
		}
		for _, id := range s.systems {
			ids[s.flag][id] = true
		}
	}
	if f.h.d.Firing != nil {
		ids[wire.FlagFiring] = f.h.d.Firing()
	}
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	for flag, on := range ids {
		f.h.fleet.flagAll(flag, on)
	}
	return nil
}

// computeRows makes the rows anew that changed, or all of them, with h.mu held.
func (h *Hub) computeRows(now time.Time, all bool) {
	if all {
		for handle, d := range h.rows.details {
			if d.ready && d.users > 0 {
				h.rows.touched = append(h.rows.touched, handle)
			}
		}
	}
	for _, handle := range h.rows.touched {
		if d := h.rows.details[handle]; d != nil && d.ready && (d.compute(now, h.nextOf(handle)) || d.changed == 0) {
			d.changed = -1 // gets its number from publish
		}
	}
}

// publish makes what changed visible under one new sequence number and wakes
// the sockets, with h.mu held. It reports whether anything changed.
func (h *Hub) publish() bool {
	moved := len(h.rows.touched) > 0 || len(h.events.pending) > 0
	if !h.fleet.publish(moved) {
		return false
	}
	for _, handle := range h.rows.touched {
		if d := h.rows.details[handle]; d != nil && d.changed < 0 {
			d.changed = h.fleet.seq
		}
	}
	h.rows.touched = h.rows.touched[:0]
	h.events.publish(h.fleet.seq, h.o.Queue)
	clear(h.frames)
	for c := range h.clients {
		c.wake()
	}
	return true
}
