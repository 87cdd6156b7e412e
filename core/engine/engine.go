// Package engine turns due Assignments into recorded Runs and owns every
// goroutine in between.
//
// One loop watches the due queue and hands ticks to a bounded pool of workers,
// which exist only while there is work. Two lanes keep the slow from the
// quick. While all workers of the fast lane are taken, runs that have lasted
// for a tenth of a second lend their places to those that wait, within a
// bound. An Assignment whose last runs failed after most of their timeout moves
// to a small lane of its own, with shorter timeouts while that lane is
// crowded and a full one now and then, and leaves it with the first run that
// does not. Waiting for a crowded host holds no worker. There is never more
// than one run of an Assignment: a tick that finds one is skipped and counted.
//
// Whatever becomes of a run (verdict, timeout, panic, shutdown), it leaves by
// one exit and is recorded exactly once. Finished runs are recorded in groups;
// while storage fails they wait in a bounded buffer and checking goes on.
//
// The wall clock says when a cron time has come; how long something took, and
// how long an Assignment was silent, is measured by the monotonic clock. When
// the wall clock jumps all due times are computed anew.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/schedule"
)

const (
	// grace is how long a collector may take to return once its deadline has
	// passed, so that it can say what it was waiting for.
	grace = 100 * time.Millisecond
	// jump is how much the wall clock may drift between two looks at it
	// before all due times are computed anew.
	jump = time.Second
	// soon is how near the next regular tick must be for a missed one not to
	// be made up for.
	soon = time.Minute
	// catchUp and catchUpAll space out the runs that make up for missed ticks:
	// one each catchUp, or faster when there are so many that it would take
	// longer than catchUpAll.
	catchUp, catchUpAll = 5 * time.Millisecond, time.Minute
)

// errStopping is the cause for which runs are cancelled at the end.
var errStopping = errors.New("tocsin is stopping")

// Engine runs Tasks when they are due. Make one with [New], say what to run
// with [Engine.Sync], and run it once with [Engine.Run]. It is safe for
// concurrent use.
type Engine struct {
	o        Options
	log      *slog.Logger
	born     time.Time        // origin of the monotonic clock
	wall     func() time.Time // the wall clock, without monotonic reading
	recorder *recorder
	nudge    chan struct{} // the first due time may have changed
	syncing  sync.Mutex    // one Sync at a time

	mu       sync.Mutex // guards all below
	entries  map[string]*entry
	due      schedule.Queue[*entry] // by wall clock
	silence  schedule.Queue[*entry] // by monotonic clock: when to look whether it is stale
	lastWall time.Time
	lastMono time.Duration
	looked   time.Duration // when silence was looked for last, by the monotonic clock
	fast     lane
	slow     lane
	hosts    map[string]*host
	attempts map[*attempt]struct{} // under way
	late     lateness
	waiting  int
	crawling int // entries whose lane is the slow one
	stuck    int
	skipped  int64
	running  bool
	ran      bool
	runs     context.Context //nolint:containedctx // the life of all runs, from Run to its drain
	drained  chan struct{}   // closed when not running and nothing is under way
	halt     chan struct{}   // closed to end idle workers
	workers  sync.WaitGroup  // all but those stuck in a collector
}

// entry is a Task in the engine. The mutex of the Engine guards it.
type entry struct {
	task   *Task
	tick   schedule.Entry[*entry] // in Engine.due
	watch  schedule.Entry[*entry] // in Engine.silence
	host   *host                  // nil without a limit
	lane   *lane
	state  state
	gone   bool          // not wanted any more, and its run not over yet
	due    time.Time     // of the waiting tick
	later  time.Time     // a tick that came while a manual run was under way
	manual chan error    // of a waiting manual run: who waits for it
	ended  time.Time     // end of the newest run, zero when not known
	heard  time.Duration // the same by the monotonic clock, or when it was added
	slow   int           // slow failures in a row
	short  int           // runs in a row with a shortened timeout
	stuck  int           // collectors of it that have not returned
}

type state uint8

const (
	idle state = iota
	waiting
	running
)

// New makes an Engine that records with rec.
func New(rec Recorder, log *slog.Logger, o Options) *Engine {
	o.Workers = cmp.Or(o.Workers, 256)
	o.SlowWorkers = cmp.Or(o.SlowWorkers, 32)
	o.PerHost = cmp.Or(o.PerHost, 8)
	o.Linger = cmp.Or(o.Linger, 5*time.Millisecond)
	o.Batch = cmp.Or(o.Batch, 1000)
	o.Buffer = cmp.Or(o.Buffer, 100_000)
	o.Drain = cmp.Or(o.Drain, 5*time.Second)
	if o.Wall == nil {
		o.Wall = time.Now
	}
	if o.Epoch == nil {
		o.Epoch = func(string) int64 { return 0 }
	}
	e := &Engine{
		o:        o,
		log:      log,
		born:     time.Now(),
		wall:     func() time.Time { return o.Wall().Round(0) },
		recorder: newRecorder(rec, log, o),
		nudge:    make(chan struct{}, 1),
		entries:  map[string]*entry{},
		hosts:    map[string]*host{},
		attempts: map[*attempt]struct{}{},
		drained:  make(chan struct{}),
		halt:     make(chan struct{}),
	}
	lendable := lendMost * o.Workers
	e.fast = lane{limit: o.Workers, lendable: lendable, wake: make(chan struct{}, o.Workers+lendable)}
	e.slow = lane{limit: o.SlowWorkers, slow: true, wake: make(chan struct{}, o.SlowWorkers)}
	return e
}

func (e *Engine) mono() time.Duration { return time.Since(e.born) }

// Sync makes tasks the whole of what runs. A Task of the same ID and Revision
// as before is not disturbed; of others the due time is computed anew. A run
// under way is finished and recorded even when its Task is not wanted any
// more. last is the end of the newest run by id of the Assignment, as far as
// known: a Task that missed a tick since is run once, soon, unless its next
// tick is near.
func (e *Engine) Sync(tasks []Task, last map[string]time.Time) {
	e.syncing.Lock()
	defer e.syncing.Unlock()
	wanted := make(map[string]struct{}, len(tasks))
	var missed []*entry
	for chunk := range slices.Chunk(tasks, 512) { // the loop must get its turn
		e.mu.Lock()
		var changed []*entry
		for i := range chunk {
			wanted[chunk[i].ID] = struct{}{}
			if en := e.put(&chunk[i], last[chunk[i].ID]); en != nil {
				changed = append(changed, en)
			}
		}
		missed = append(missed, e.plan(changed, e.wall(), soon)...)
		e.mu.Unlock()
	}
	e.mu.Lock()
	e.makeUp(missed, e.wall())
	if len(e.entries) > len(wanted) {
		for id, en := range e.entries {
			if _, ok := wanted[id]; !ok {
				e.remove(en)
			}
		}
	}
	e.mu.Unlock()
	e.poke()
}

// put returns the entry when its due time must be computed.
func (e *Engine) put(t *Task, last time.Time) *entry {
	en, ok := e.entries[t.ID]
	if ok && !en.gone && en.task.Revision == t.Revision {
		return nil
	}
	task := *t
	if task.Schedule == nil {
		task.Schedule = &schedule.Schedule{}
	}
	if task.Timeout <= 0 {
		task.Timeout = core.DefaultTimeout.Std()
	}
	if !ok {
		en = &entry{lane: &e.fast}
		en.tick.Key, en.watch.Key = en, en
		e.entries[task.ID] = en
	}
	if !ok || en.gone {
		en.gone, en.heard = false, e.mono()
	}
	if en.task == nil || en.task.Host != task.Host {
		e.rehost(en, task.Host)
	}
	en.task = &task
	if last.After(en.ended) {
		en.ended = last.Round(0)
	}
	e.silence.Remove(&en.watch)
	if task.StaleAfter > 0 {
		e.silence.Add(&en.watch, monotonic(e.mono()+task.StaleAfter))
	}
	return en
}

// monotonic lets the monotonic clock order a queue.
func monotonic(d time.Duration) time.Time { return time.Unix(0, int64(d)) }

func (e *Engine) remove(en *entry) {
	e.due.Remove(&en.tick)
	e.silence.Remove(&en.watch)
	en.gone = true
	en.later = time.Time{}
	if en.state == idle {
		e.forget(en)
	}
}

func (e *Engine) forget(en *entry) {
	if en.lane == &e.slow {
		e.crawling--
	}
	e.rehost(en, "")
	delete(e.entries, en.task.ID)
}

// plan puts the next regular tick of each of the entries into the due queue. It
// returns those that missed one since the end of their newest run and whose
// next one is farther off than near.
func (e *Engine) plan(entries []*entry, wall time.Time, near time.Duration) (missed []*entry) {
	for _, en := range entries {
		e.due.Remove(&en.tick)
		s := en.task.Schedule
		from := wall
		if ahead := en.ended.Sub(wall); ahead > 0 && ahead < jump {
			from = en.ended // of another node, whose clock is not quite ours: its tick is not run again
		}
		next := s.Next(from)
		if next.IsZero() {
			continue
		}
		e.due.Add(&en.tick, next)
		if en.state == idle && !en.ended.IsZero() && next.Sub(wall) > near && s.Active(wall) && !s.Next(en.ended).After(wall) {
			missed = append(missed, en)
		}
	}
	return missed
}

// makeUp brings the next tick of each of the entries forward to now, spaced
// out, so that many are no storm.
func (e *Engine) makeUp(missed []*entry, wall time.Time) {
	for i, en := range missed {
		space := min(catchUp, catchUpAll/time.Duration(len(missed)))
		e.due.Reschedule(&en.tick, wall.Add(time.Duration(i)*space))
	}
}

// poke makes the loop look at the queue.
func (e *Engine) poke() {
	select {
	case e.nudge <- struct{}{}:
	default:
	}
}

// Run runs what is due until ctx ends. Then it starts nothing more, lets runs
// under way finish for at most Options.Drain, records what is finished, and
// returns when its goroutines have ended, except those of collectors that
// ignore their deadline. It returns an error when finished runs could not be
// recorded. It can be called once.
func (e *Engine) Run(ctx context.Context) error {
	runs, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	if err := e.begin(runs); err != nil {
		return err
	}
	var loops, recording sync.WaitGroup
	loops.Go(func() { e.loop(ctx) })
	loops.Go(func() { e.watch(ctx) })
	storing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	finish := make(chan struct{})
	recording.Go(func() { e.recorder.loop(storing, finish) })

	<-ctx.Done()
	loops.Wait()
	deadline := time.Now().Add(e.o.Drain)
	e.drain(time.Until(deadline), cancel)
	close(e.halt)
	e.workers.Wait()
	close(finish)
	left := time.AfterFunc(max(time.Until(deadline), time.Second), abandon)
	defer left.Stop()
	recording.Wait()
	if lost := e.recorder.abandoned(); lost > 0 {
		return fmt.Errorf("stop the engine: %d finished runs could not be stored: %w", lost, e.recorder.failure())
	}
	return nil
}

func (e *Engine) begin(runs context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ran {
		return errors.New("run the engine: it has run already")
	}
	e.ran, e.running, e.runs = true, true, runs
	e.lastWall, e.lastMono = e.wall(), e.mono()
	e.looked = e.lastMono
	all := make([]*entry, 0, len(e.entries))
	for _, en := range e.entries {
		en.heard = max(en.heard, e.lastMono)
		all = append(all, en)
	}
	e.makeUp(e.plan(all, e.lastWall, soon), e.lastWall)
	return nil
}

// drain waits for the runs under way, then cancels them, then lets go of them.
func (e *Engine) drain(most time.Duration, cancel context.CancelCauseFunc) {
	e.mu.Lock()
	e.running = false
	for _, en := range e.entries {
		if en.state == waiting {
			e.waiting--
			en.state = idle
			tell(en.manual, ErrStopped)
			en.manual = nil
			if en.gone {
				e.forget(en)
			}
		}
	}
	e.fast.ready, e.slow.ready = deque[*entry]{}, deque[*entry]{}
	for _, h := range e.hosts {
		h.fast.parked, h.slow.parked = deque[*entry]{}, deque[*entry]{}
	}
	if len(e.attempts) == 0 {
		close(e.drained)
	}
	e.mu.Unlock()
	for _, patience := range []time.Duration{most, grace} {
		timer := time.NewTimer(max(patience, 0))
		select {
		case <-e.drained:
			timer.Stop()
			return
		case <-timer.C:
			cancel(errStopping)
		}
	}
	e.mu.Lock()
	left := make([]*attempt, 0, len(e.attempts))
	for a := range e.attempts {
		left = append(left, a)
	}
	e.mu.Unlock()
	for _, a := range left {
		a.deadline.Stop()
		e.end(a, nil)
	}
}

// RunNow runs an Assignment at once, whatever its schedule says and without
// changing it, and returns when the run is recorded. When ctx ends first the
// run goes on. Errors are [ErrUnknown], [ErrRunning], [ErrStopped],
// [ErrDropped] and [ErrForeign].
func (e *Engine) RunNow(ctx context.Context, id string) error {
	done := make(chan error, 1)
	if err := e.start(id, done); err != nil {
		return fmt.Errorf("run %s now: %w", id, err)
	}
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("run %s now: %w", id, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("run %s now: wait for it to be recorded: %w", id, ctx.Err())
	}
}

func (e *Engine) start(id string, done chan error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	en, ok := e.entries[id]
	switch {
	case !ok || en.gone:
		return ErrUnknown
	case !e.running:
		return ErrStopped
	case en.state != idle:
		return ErrRunning
	}
	en.manual = done
	e.enqueue(en, time.Time{})
	return nil
}

// tell answers who waits for a manual run.
func tell(waiter chan error, err error) {
	if waiter != nil {
		waiter <- err // it has room for the one answer
	}
}

// Next is when an Assignment is next due, zero when it never is.
func (e *Engine) Next(id string) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	en, ok := e.entries[id]
	if !ok {
		return time.Time{}
	}
	return e.due.At(&en.tick)
}

// Stats is how the engine does now.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	s := Stats{
		Tasks:    len(e.entries),
		Skipped:  e.skipped,
		Inflight: len(e.attempts),
		Waiting:  e.waiting,
		Slow:     e.crawling,
		Stuck:    e.stuck,
		LateP99:  float64(e.late.quantile(0.99)) / float64(time.Millisecond),
	}
	e.mu.Unlock()
	e.recorder.stats(&s)
	return s
}
