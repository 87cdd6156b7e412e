package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Health is what a Runner reads of health when it starts; a [store.Ledger] is
// one.
type Health interface {
	Standings(ctx context.Context) (map[string]core.Standing, error)
	Rolled(ctx context.Context) ([]core.Rolled, error)
}

// Store is the storage that a Runner needs.
type Store struct {
	Log     store.Log
	Runs    store.RunLog
	Journal store.Journal
	Catalog store.Catalog
	Health  Health
}

// Sender is what carries out firings, as far as a Runner has to know: a
// [Deliveries] is one.
type Sender interface {
	// Inflight are firings of which a step is being carried out here, also
	// when they were cancelled meanwhile, by id with their rule.
	Inflight() map[string]string
	// Settled gets a value when a firing may have become final.
	Settled() <-chan struct{}
	// Hint says that there may be something new to carry out.
	Hint()
}

// RunnerOptions tune a Runner.
type RunnerOptions struct {
	Sender     Sender        // nil: final firings are noticed by asking the Journal each second
	Batch      int           // log entries in one turn; default 500
	Settle     time.Duration // how long a timer waits for log entries from before its time; default 25ms
	Poll       time.Duration // how often runs are looked for while a rule looks at runs; default 250ms
	Partitions int           // see [MachineOptions]
	// Now is the clock that timers go by; of several nodes that run the rules
	// by turns it must be the same. Default time.Now.
	Now func() time.Time
}

// Runner follows the Log, decides with a [Machine] and makes each turn durable
// before the next. It owns the Machine; its methods are safe for concurrent use.
type Runner struct {
	store    Store
	compiler *Compiler
	log      *slog.Logger
	o        RunnerOptions

	mu      sync.Mutex // guards what follows; never held while waiting
	machine *Machine
	version int64     // of the catalog
	edition string    // of the modules
	marked  time.Time // when the run cursor was stored last

	hint chan struct{} // that modules changed; of capacity 1
}

// NewRunner makes a Runner. It does nothing until [Runner.Run].
func NewRunner(s Store, c *Compiler, log *slog.Logger, o RunnerOptions) *Runner {
	if o.Batch <= 0 {
		o.Batch = 500
	}
	if o.Poll <= 0 {
		o.Poll = 250 * time.Millisecond
	}
	if o.Settle <= 0 {
		o.Settle = 25 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Runner{
		store: s, compiler: c, log: log, o: o, machine: NewMachine(c, MachineOptions{Explain: true, Partitions: o.Partitions}),
		hint: make(chan struct{}, 1),
	}
}

// Hint says that what modules add to rules may have changed.
func (r *Runner) Hint() { poke(r.hint) }

// Run follows the Log until ctx ends, and returns nil then. Faults of storage
// are retried for ever: a turn is decided once and offered to storage until it
// is durable, so that nothing is lost or doubled. It ends with
// [store.ErrFenced] when another process runs the rules. It can be run again:
// it begins with what is stored.
func (r *Runner) Run(ctx context.Context) error {
	turn, err := retry(ctx, r.log, "load rules", r.load)
	if err != nil {
		return ended(ctx, err)
	}
	r.mu.Lock()
	r.complain(ctx)
	r.mu.Unlock()
	if err := r.commit(ctx, turn); err != nil {
		return ended(ctx, err)
	}
	for ctx.Err() == nil {
		begin := time.Now()
		more, err := r.step(ctx)
		if err != nil {
			return ended(ctx, err)
		}
		if !more {
			r.wait(ctx)
			r.rest(ctx, begin)
		}
	}
	return nil
}

// Look reads where the rules stand while another process runs them, for
// [Runner.State] and the like. It decides nothing.
func (r *Runner) Look(ctx context.Context) error {
	_, err := r.load(ctx)
	return err
}

// pace is the least time between two turns that leave nothing behind: while
// many things change at once, what comes within it is one transaction.
const pace = 20 * time.Millisecond

// rest waits until pace has passed since begin.
func (*Runner) rest(ctx context.Context, begin time.Time) {
	left := pace - time.Since(begin)
	if left <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(left):
	}
}

// ended is nil when ctx ended, because that is how a Run ends.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the end of ctx is the wanted end
	}
	return err
}

// retry calls f until it succeeds or ctx ends.
func retry[T any](ctx context.Context, log *slog.Logger, doing string, f func(context.Context) (T, error)) (T, error) {
	pause := 20 * time.Millisecond
	for {
		v, err := f(ctx)
		if err == nil || ctx.Err() != nil || errors.Is(err, store.ErrFenced) {
			return v, err
		}
		log.WarnContext(ctx, "storage fault, trying again", slog.String("doing", doing), slog.Any("err", err), slog.Duration("in", pause))
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-time.After(pause):
		}
		pause = min(2*pause, time.Second)
	}
}

// load makes a fresh Machine of what is stored.
func (r *Runner) load(ctx context.Context) (store.Turn, error) {
	cursor, state, err := r.store.Journal.Load(ctx)
	if err != nil {
		return store.Turn{}, fmt.Errorf("load the journal: %w", err)
	}
	m := NewMachine(r.compiler, MachineOptions{Explain: true, Partitions: r.o.Partitions})
	m.Restore(cursor, state)
	if err := r.loadHealth(ctx, m, cursor); err != nil {
		return store.Turn{}, err
	}
	active, err := r.active(ctx)
	if err != nil {
		return store.Turn{}, err
	}
	edition := r.compiler.edition()
	now := r.o.Now()
	out := m.Active(active, now)
	catalog, saved, version, err := r.read(ctx)
	if err != nil {
		return store.Turn{}, err
	}
	out = append(out, m.SetCatalog(catalog, time.Time{})...)
	out = append(out, m.SetRules(saved, now)...)
	if err := r.findRuns(ctx, m); err != nil {
		return store.Turn{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.machine, r.version, r.edition = m, version, edition
	return r.turn(out), nil
}

// loadHealth tells m how every subject was at the cursor: as it is now, but for
// subjects that the rest of the log moves.
func (r *Runner) loadHealth(ctx context.Context, m *Machine, cursor int64) error {
	standings, err := r.store.Health.Standings(ctx)
	if err != nil {
		return fmt.Errorf("load standings: %w", err)
	}
	for id, s := range standings {
		m.SetHealth(core.Subject{Kind: core.OfAssignment, ID: id}, s.Health, s.Since)
	}
	rolled, err := r.store.Health.Rolled(ctx)
	if err != nil {
		return fmt.Errorf("load roll-ups: %w", err)
	}
	for _, h := range rolled {
		m.SetHealth(h.Subject, h.Health, h.Since)
	}
	moved := map[core.Subject]bool{}
	for {
		entries, err := r.store.Log.After(ctx, cursor, 1000)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for _, t := range entries {
			if !moved[t.Subject] {
				moved[t.Subject] = true
				m.SetHealth(t.Subject, t.From, t.At)
			}
			cursor = t.Seq
		}
		if len(entries) < 1000 {
			return nil
		}
	}
}

// active lists the firings that are not final, and the cancelled ones of which
// a step is still being carried out.
func (r *Runner) active(ctx context.Context) ([]core.Firing, error) {
	inflight := map[string]string{}
	if r.o.Sender != nil {
		inflight = r.o.Sender.Inflight()
	}
	firings, err := r.store.Journal.Active(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list active firings: %w", err)
	}
	for _, f := range firings {
		delete(inflight, f.ID)
	}
	for id, rule := range inflight {
		firings = append(firings, core.Firing{ID: id, Rule: rule, Steps: []core.Step{{}}})
	}
	return firings, nil
}

// read gives the catalog, the rules and the version they belong to. An object
// that cannot be read is left out, loudly.
func (r *Runner) read(ctx context.Context) (Catalog, []Saved, int64, error) {
	return readCatalog(ctx, r.store.Catalog, r.log)
}

func readCatalog(ctx context.Context, from store.Catalog, log *slog.Logger) (Catalog, []Saved, int64, error) {
	objects, version, err := from.Objects(ctx)
	if err != nil {
		return Catalog{}, nil, 0, fmt.Errorf("read the catalog: %w", err)
	}
	var c Catalog
	var saved []Saved
	for _, o := range objects {
		var err error
		switch o.Kind {
		case store.Systems:
			err = into(o.Body, &c.Systems)
		case store.Checks:
			err = into(o.Body, &c.Checks)
		case store.Maintenances:
			err = into(o.Body, &c.Maintenances)
		case store.Silences:
			err = into(o.Body, &c.Silences)
		case store.Acknowledgements:
			err = into(o.Body, &c.Acknowledgements)
		case store.Channels: // read when something is sent
		case store.Rules:
			s := Saved{At: o.Updated}
			err = json.Unmarshal(o.Body, &s.Rule) //nolint:musttag,nolintlint // the fields without a tag are keys of YAML and are not written
			if err == nil {
				saved = append(saved, s)
			}
		}
		if err != nil {
			log.ErrorContext(ctx, "stored object cannot be read", slog.String("kind", string(o.Kind)), slog.String("id", o.ID), slog.Any("err", err))
		}
	}
	return c, saved, version, nil
}

func into[T any](body []byte, list *[]T) error {
	var v T
	if err := json.Unmarshal(body, &v); err != nil {
		return err
	}
	*list = append(*list, v)
	return nil
}

// complain logs the rules that do not compile. The caller holds mu.
func (r *Runner) complain(ctx context.Context) {
	for id, problems := range r.machine.Quarantined() {
		r.log.ErrorContext(ctx, "rule does not compile and is quarantined", slog.String("rule", id), slog.Any("err", problems.Err()))
	}
}

// turn collects what came of deciding. The caller holds mu. The run cursor is
// part of every turn that leaves something behind, and of one a minute besides:
// runs of which nothing came may be looked at twice.
func (r *Runner) turn(out []Output) store.Turn {
	t := store.Turn{Cursor: r.machine.Cursor(), State: r.machine.Changes(), Flow: Advance}
	if _, wanted := r.machine.Wanted(); wanted && (len(out)+len(t.State) > 0 || time.Since(r.marked) > time.Minute) {
		t.State[runMark] = strconv.AppendInt(nil, r.machine.RunCursor(), 10)
		r.marked = time.Now()
	}
	for _, o := range out {
		switch {
		case o.Decision != nil:
			t.Decisions = append(t.Decisions, *o.Decision)
		case o.Firing != nil:
			t.Firings = append(t.Firings, *o.Firing)
		case o.Cancel != "":
			t.Cancel = append(t.Cancel, o.Cancel)
		}
	}
	return t
}

// commit makes a turn durable, however long it takes.
func (r *Runner) commit(ctx context.Context, t store.Turn) error {
	_, err := retry(ctx, r.log, "commit a turn of the rules", func(ctx context.Context) (struct{}, error) {
		return struct{}{}, r.store.Journal.Commit(ctx, t)
	})
	if err != nil {
		return fmt.Errorf("commit a turn of the rules: %w", err)
	}
	if r.o.Sender != nil && (len(t.Firings) > 0 || len(t.Moved) > 0 && r.busy()) { // a step may wait for what moved
		r.o.Sender.Hint()
	}
	return nil
}

// step takes one turn: the log as far as a batch goes and, when the log is at
// its end, the timers and what waits for firings. It reports whether there is
// more to do at once.
func (r *Runner) step(ctx context.Context) (bool, error) {
	entries, err := retry(ctx, r.log, "read the log", func(ctx context.Context) ([]core.Transition, error) {
		return r.store.Log.After(ctx, r.cursor(), r.o.Batch)
	})
	if err != nil {
		return false, err
	}
	recorded, err := r.runs(ctx)
	if err != nil {
		return false, err
	}
	// The catalog is read after the log: a rule that was saved before an event
	// happened is there when the event is dealt with.
	if err := r.refresh(ctx); err != nil {
		return false, err
	}
	caughtUp := len(entries) < r.o.Batch
	var active []core.Firing
	known := len(entries)+len(recorded.list) > 0 || r.waiting()
	if known { // also when none is known of: a firing that failed can be sent again
		if active, err = retry(ctx, r.log, "list active firings", r.active); err != nil {
			return false, err
		}
	}
	r.mu.Lock()
	now := r.o.Now()
	var out []Output
	if known { // first: it lists what is committed, and not what is decided below
		out = r.machine.Active(active, now)
	}
	fed, whole := r.machine.feed(entries, recorded, caughtUp, now)
	out = append(out, fed...)
	if caughtUp = caughtUp && whole; caughtUp {
		out = append(out, r.machine.wake(now.Add(-r.o.Settle), now)...)
	}
	turn := r.turn(out)
	for i := range entries {
		turn.Moved = append(turn.Moved, entries[i].Subject)
	}
	r.mu.Unlock()
	if len(entries) == 0 && len(out) == 0 && len(turn.State) == 0 {
		return false, nil
	}
	return !caughtUp, r.commit(ctx, turn)
}

// runs reads the runs that rules want.
func (r *Runner) runs(ctx context.Context) (recorded, error) {
	r.mu.Lock()
	outcomes, wanted := r.machine.Wanted()
	after := r.machine.RunCursor()
	r.mu.Unlock()
	if !wanted {
		after = -1
	}
	return retry(ctx, r.log, "read the runs", func(ctx context.Context) (recorded, error) {
		list, newest, err := r.store.Runs.RunsOf(ctx, after, outcomes, r.o.Batch)
		return recorded{list: list, newest: newest, wanted: wanted, partly: len(outcomes) > 0, full: len(list) >= r.o.Batch}, err
	})
}

func (r *Runner) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.busy()
}

func (r *Runner) cursor() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.machine.Cursor()
}

// waiting reports whether a firing is known that is not final, or a timer is
// due.
func (r *Runner) waiting() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.machine.NextWake()
	return r.machine.busy() || !next.IsZero() && !next.After(r.o.Now())
}

// refresh takes over the catalog when it has changed, and what modules add.
func (r *Runner) refresh(ctx context.Context) error {
	version, err := retry(ctx, r.log, "read the catalog's version", func(ctx context.Context) (int64, error) {
		_, version, err := r.store.Catalog.Objects(ctx, store.Silences) // the fewest there are
		return version, err
	})
	if err != nil {
		return err
	}
	edition := r.compiler.edition()
	r.mu.Lock()
	same := version == r.version && edition == r.edition
	r.mu.Unlock()
	if same {
		return nil
	}
	type read struct {
		catalog Catalog
		saved   []Saved
		version int64
		active  []core.Firing
	}
	got, err := retry(ctx, r.log, "read the catalog", func(ctx context.Context) (read, error) {
		catalog, saved, version, err := r.read(ctx)
		if err != nil {
			return read{}, err
		}
		active, err := r.active(ctx)
		return read{catalog, saved, version, active}, err
	})
	if err != nil {
		return err
	}
	r.mu.Lock()
	now := r.o.Now()
	before := maps.Clone(r.machine.Quarantined())
	out := r.machine.Active(got.active, now)
	out = append(out, r.machine.SetCatalog(got.catalog, now)...)
	out = append(out, r.machine.SetRules(got.saved, now)...)
	r.version, r.edition = got.version, edition
	if !maps.EqualFunc(before, r.machine.Quarantined(), func(a, b core.Problems) bool { return a.Error() == b.Error() }) {
		r.complain(ctx)
	}
	turn := r.turn(out)
	r.mu.Unlock()
	return r.commit(ctx, turn)
}

// wait returns when there may be something to do.
func (r *Runner) wait(ctx context.Context) {
	r.mu.Lock()
	next, cursor, version, busy := r.machine.NextWake(), r.machine.Cursor(), r.version, r.machine.busy()
	_, wanted := r.machine.Wanted()
	r.mu.Unlock()
	pause := time.Minute
	if wanted {
		pause = r.o.Poll
	}
	if busy {
		pause = min(pause, time.Second)
	}
	if !next.IsZero() {
		pause = min(pause, max(0, next.Add(r.o.Settle).Sub(r.o.Now())))
	}
	ctx, cancel := context.WithTimeout(ctx, pause)
	defer cancel()
	var done sync.WaitGroup
	woken := func(f func(context.Context, int64) error, after int64) {
		done.Go(func() {
			if err := f(ctx, after); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "wait for changes", slog.Any("err", err))
				select { // storage is away: look again soon, but not at once
				case <-ctx.Done():
				case <-time.After(100 * time.Millisecond):
				}
			}
			cancel()
		})
	}
	done.Go(func() {
		select {
		case <-ctx.Done():
		case <-r.hint:
			cancel()
		}
	})
	woken(r.store.Log.Wait, cursor)
	woken(r.store.Catalog.Changed, version)
	if r.o.Sender != nil {
		select {
		case <-ctx.Done():
		case <-r.o.Sender.Settled():
			cancel()
		}
	}
	done.Wait()
}
