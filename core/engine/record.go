package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

const (
	// retryFirst and retryMost bound the wait between tries to record.
	retryFirst, retryMost = 50 * time.Millisecond, time.Second
	// salvageAfter is how many times in a row a batch fails before it is tried
	// in parts, lest one run that storage refuses keeps all others out.
	salvageAfter = 3
	// salvageTries is how many parts in a row may fail before it is storage
	// that is taken to fail and not a run. It is enough to find one run in a
	// batch by halving.
	salvageTries = 16
)

// recorder makes finished runs durable, in groups and in the order in which
// they ended. While storage fails it keeps what there is room for.
type recorder struct {
	rec    Recorder
	log    *slog.Logger
	linger time.Duration
	batch  int
	room   int
	wake   chan struct{} // there is something
	full   chan struct{} // there is a whole batch

	mu      sync.Mutex
	passing deque[finished] // dropped first
	others  deque[finished]
	seq     uint64
	taken   int // in the batch being recorded
	stored  int64
	dropped int64
	foreign int64
	lost    int // given up at the end
	err     error
	first   uint64 // seq of the first in the batch being recorded
	mark    uint64 // seq of the newest that waited during the latest fault
}

// finished is a run and who waits for it to be durable.
type finished struct {
	run    *core.Run
	waiter chan error
	seq    uint64
}

func newRecorder(rec Recorder, log *slog.Logger, o Options) *recorder {
	return &recorder{rec: rec, log: log, linger: o.Linger, batch: o.Batch, room: o.Buffer, wake: make(chan struct{}, 1), full: make(chan struct{}, 1)}
}

// add never blocks: beyond its room it drops the oldest passing run, or the
// oldest when none passed.
func (r *recorder) add(run *core.Run, waiter chan error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	f := finished{run: run, waiter: waiter, seq: r.seq}
	if run.Outcome == core.Pass {
		r.passing.push(f)
	} else {
		r.others.push(f)
	}
	n := r.passing.len() + r.others.len()
	if n > r.room {
		from := &r.passing
		if from.len() == 0 {
			from = &r.others
		}
		tell(from.pop().waiter, ErrDropped)
		r.dropped++
	}
	signal(r.wake, n == 1)
	signal(r.full, n == r.batch)
}

func signal(c chan struct{}, when bool) {
	if !when {
		return
	}
	select {
	case c <- struct{}{}:
	default:
	}
}

// take returns the next runs in order, at most a batch.
func (r *recorder) take() []finished {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := min(r.batch, r.passing.len()+r.others.len())
	out := make([]finished, 0, n)
	for len(out) < n {
		from := &r.passing
		if from.len() == 0 || r.others.len() > 0 && r.others.peek().seq < from.peek().seq {
			from = &r.others
		}
		out = append(out, from.pop())
	}
	if r.taken = n; n > 0 {
		r.first = out[0].seq
	}
	return out
}

// loop records until finish is closed and nothing is left, or ctx ends.
func (r *recorder) loop(ctx context.Context, finish <-chan struct{}) {
	linger := time.NewTimer(0)
	defer linger.Stop()
	for last := false; !last; {
		select {
		case <-r.wake:
		case <-finish:
			last = true
		}
		if !last {
			linger.Reset(r.linger)
			select {
			case <-linger.C:
			case <-r.full:
			case <-finish:
			}
		}
		for batch := r.take(); len(batch) > 0; batch = r.take() {
			r.store(ctx, batch)
		}
	}
}

// store returns when the batch is durable or given up: because storage refuses
// single runs of it, or because ctx ended.
func (r *recorder) store(ctx context.Context, batch []finished) {
	wait := retryFirst
	for tries := 1; ; tries++ {
		err := r.record(ctx, batch)
		if err == nil {
			r.recovered(ctx)
			return
		}
		r.failed(ctx, err, len(batch))
		if tries >= salvageAfter {
			if batch = r.salvage(ctx, batch); len(batch) == 0 {
				r.recovered(ctx)
				return
			}
		}
		pause := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			pause.Stop()
			r.abandon(batch)
			return
		case <-pause.C:
		}
		wait = min(2*wait, retryMost)
	}
}

// record stores runs together and tells who waits for them.
func (r *recorder) record(ctx context.Context, batch []finished) error {
	runs := make([]*core.Run, len(batch))
	for i, f := range batch {
		runs[i] = f.run
	}
	if err := r.rec.Record(ctx, runs); err != nil {
		return err //nolint:wrapcheck // the caller logs it
	}
	foreign := 0
	for _, f := range batch {
		if f.run.ID == 0 {
			foreign++
			tell(f.waiter, ErrForeign)
		} else {
			tell(f.waiter, nil)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored += int64(len(batch) - foreign)
	r.foreign += int64(foreign)
	r.taken -= len(batch)
	return nil
}

// salvage records the parts of a batch that can be recorded and drops single
// runs that cannot be while others can. It returns what is left when it is
// storage itself that fails.
func (r *recorder) salvage(ctx context.Context, batch []finished) (left []finished) {
	var refused []finished
	failures, some := 0, false
	var parts func(batch []finished)
	parts = func(batch []finished) {
		if failures >= salvageTries {
			left = append(left, batch...)
			return
		}
		err := r.record(ctx, batch)
		switch {
		case err == nil:
			failures, some = 0, true
		case len(batch) == 1:
			failures++
			refused = append(refused, batch[0])
		default:
			failures++
			parts(batch[:len(batch)/2])
			parts(batch[len(batch)/2:])
		}
	}
	parts(batch)
	if !some {
		return batch
	}
	for _, f := range refused {
		r.log.ErrorContext(ctx, "storage refuses a run; it is dropped", slog.String("assignment", f.run.Assignment), slog.Any("err", r.failure()))
		tell(f.waiter, ErrDropped)
	}
	r.mu.Lock()
	r.dropped += int64(len(refused))
	r.taken -= len(refused)
	r.mu.Unlock()
	return left
}

func (r *recorder) failed(ctx context.Context, err error, n int) {
	r.mu.Lock()
	first := r.err == nil
	r.err, r.mark = err, r.seq
	r.mu.Unlock()
	if first {
		r.log.ErrorContext(ctx, "runs cannot be stored; they wait, and checking goes on", slog.Int("runs", n), slog.Any("err", err))
	}
}

func (r *recorder) recovered(ctx context.Context) {
	r.mu.Lock()
	was := r.err
	r.err = nil
	dropped := r.dropped
	r.mu.Unlock()
	if was != nil {
		r.log.InfoContext(ctx, "runs are stored again", slog.Int64("dropped_since_start", dropped))
	}
}

// abandon gives up a batch at the end.
func (r *recorder) abandon(batch []finished) {
	for _, f := range batch {
		tell(f.waiter, ErrStopped)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost += len(batch)
	r.taken = 0
}

func (r *recorder) abandoned() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// failure is why storage fails, nil when it does not.
func (r *recorder) failure() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// behind reports whether storage does not know yet of what has run for a while.
func (r *recorder) behind() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	waiting := r.passing.len() + r.others.len()
	return r.err != nil || r.taken > 0 && r.first <= r.mark || waiting > r.batch
}

func (r *recorder) stats(s *Stats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.Runs, s.Dropped, s.Foreign = r.stored, r.dropped, r.foreign
	s.Buffer = r.room
	s.Unstored = r.passing.len() + r.others.len() + r.taken
	if r.err != nil {
		s.Error = r.err.Error()
	}
}
