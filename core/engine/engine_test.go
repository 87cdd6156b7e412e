package engine_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/schedule"
)

// book is a Recorder that keeps what it is given and fails when told to.
type book struct {
	mu      sync.Mutex
	runs    []*core.Run
	expired []string
	err     error
	refuse  string // the assignment of which no run can be stored
	slow    time.Duration
	foreign string // the assignment that is another process's
	tries   int
	largest int
}

func (b *book) Record(_ context.Context, runs []*core.Run) error {
	time.Sleep(b.slow)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tries++
	if b.err != nil {
		return b.err
	}
	for _, run := range runs {
		if run.Assignment == b.refuse {
			return errors.New("cannot encode the run")
		}
		if run.ID != 0 {
			return fmt.Errorf("the run has the id %d before it is stored", run.ID)
		}
	}
	b.largest = max(b.largest, len(runs))
	for _, run := range runs {
		if run.Assignment == b.foreign {
			continue
		}
		b.runs = append(b.runs, run)
		run.ID = int64(len(b.runs))
	}
	return nil
}

func (b *book) Expire(_ context.Context, ids []string, _ time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.expired = append(b.expired, ids...)
	return nil
}

func (b *book) fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

func (b *book) of(id string) []core.Run {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []core.Run
	for _, run := range b.runs {
		if run.Assignment == id {
			out = append(out, *run)
		}
	}
	return out
}

func (b *book) stale() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.expired)
}

func every(tb testing.TB, d time.Duration, key string) *schedule.Schedule {
	tb.Helper()
	s, err := schedule.Parse(schedule.Spec{Every: core.Duration(d), Key: key})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func task(tb testing.TB, id string, d time.Duration, collect func(context.Context, *core.Run)) engine.Task {
	tb.Helper()
	return engine.Task{ID: id, Revision: "1", Schedule: every(tb, d, id), Timeout: d / 2, Collect: collect}
}

func pass(context.Context, *core.Run) {}

// run starts the engine and returns what ends it and waits for it.
func run(tb testing.TB, e *engine.Engine) (stop func() error) {
	tb.Helper()
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	tb.Cleanup(func() { _ = stop() })
	return stop
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestOneExit: every way in which a run can go yields exactly one recorded run
// with the right outcome and a reason, and the recurrence goes on.
// acceptance 3, 10 and 12.
func TestOneExit(t *testing.T) {
	t.Parallel()
	outcome := func(o core.Outcome, why core.Why) func(context.Context, *core.Run) {
		return func(_ context.Context, run *core.Run) { run.Outcome, run.Why = o, why }
	}
	for _, c := range []struct {
		name    string
		collect func(context.Context, *core.Run)
		outcome core.Outcome
		code    string
		text    string
	}{
		{"pass", pass, core.Pass, "", ""},
		{"warn", outcome(core.Warn, core.Because("slow", "it is slow")), core.Warn, "slow", "it is slow"},
		{"fail", outcome(core.Fail, core.Because("refused", "connection refused")), core.Fail, "refused", "connection refused"},
		{"error", outcome(core.Error, core.Because("module", "the module is missing")), core.Error, "module", "missing"},
		{"no reason", outcome(core.Fail, core.Why{}), core.Fail, "unexplained", "no reason"},
		{"no outcome", outcome(core.Outcome(99), core.Why{}), core.Error, "outcome", "99"},
		{"panic", func(context.Context, *core.Run) { panic("nil map") }, core.Error, "panic", "crashed: nil map"},
		{"goexit", func(context.Context, *core.Run) { runtime.Goexit() }, core.Error, "panic", "ended its goroutine"},
		{"no collector", nil, core.Error, "panic", "crashed"},
		{"timeout", func(ctx context.Context, run *core.Run) {
			<-ctx.Done()
			run.Outcome, run.Why = core.Fail, core.Because("timeout", "no answer to the request")
		}, core.Fail, "timeout", "no answer to the request"},
		{"late pass", func(ctx context.Context, _ *core.Run) { <-ctx.Done() }, core.Fail, "timeout", "timed out after 5s"},
		{"meddler", func(_ context.Context, run *core.Run) {
			*run = core.Run{ID: 7, Assignment: "other", Manual: true, Ended: time.Unix(0, 0)}
		}, core.Pass, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b book
				e := engine.New(&b, quiet(), engine.Options{})
				e.Sync([]engine.Task{task(t, "web:ping", 10*time.Second, c.collect)}, nil)
				stop := run(t, e)
				time.Sleep(31 * time.Second)
				time.Sleep(time.Until(e.Next("web:ping")) - time.Second)
				if err := stop(); err != nil {
					t.Errorf("run: %v", err)
				}
				runs := b.of("web:ping")
				if n := len(runs); n < 3 || n > 4 {
					t.Fatalf("recorded %d runs in 31 to 40 s, want 3 or 4", n)
				}
				for i, got := range runs {
					if got.Outcome != c.outcome || got.Why.Code != c.code || !strings.Contains(got.Why.Text, c.text) {
						t.Errorf("run %d: got %s %q (%s), want %s %q", i, got.Outcome, got.Why, got.Why.Code, c.outcome, c.text)
					}
					if got.ID != int64(i+1) || got.Manual || !got.Started.Equal(got.Due) || got.Ended.Before(got.Started) {
						t.Errorf("run %d: got id %d, manual %v, due %s, started %s, ended %s", i, got.ID, got.Manual, got.Due, got.Started, got.Ended)
					}
					if i > 0 && got.Due.Sub(runs[i-1].Due) != 10*time.Second {
						t.Errorf("run %d is due %s after the one before, want 10s", i, got.Due.Sub(runs[i-1].Due))
					}
				}
				if s := e.Stats(); s.Runs != int64(len(runs)) || s.Inflight != 0 || s.Stuck != 0 || s.Unstored != 0 {
					t.Errorf("stats: got %+v", s)
				}
			})
		})
	}
}

// TestStuckCollector: one that ignores its deadline is recorded as timed out
// at the deadline, nothing it writes later is seen, it is counted, and it is
// not started without end. acceptance 10.
func TestStuckCollector(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		release := make(chan struct{})
		var started atomic.Int32
		e := engine.New(&b, quiet(), engine.Options{Workers: 1, SlowWorkers: 1})
		e.Sync([]engine.Task{task(t, "bad:ping", 10*time.Second, func(_ context.Context, run *core.Run) {
			started.Add(1)
			<-release
			run.Outcome, run.Summary = core.Warn, "too late"
		}), task(t, "good:ping", 10*time.Second, pass)}, nil)
		stop := run(t, e)
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if s := e.Stats(); s.Stuck != 2 || started.Load() != 2 {
			t.Errorf("got %d stuck and %d started, want 2 and 2", s.Stuck, started.Load())
		}
		if good := len(b.of("good:ping")); good < 5 {
			t.Errorf("the other check ran %d times in 60 s, want at least 5", good)
		}
		close(release)
		synctest.Wait()
		if s := e.Stats(); s.Stuck != 0 {
			t.Errorf("got %d stuck after they returned, want 0", s.Stuck)
		}
		_ = stop()
		for i, got := range b.of("bad:ping") {
			switch {
			case got.Summary != "":
				t.Errorf("run %d holds what was written after the deadline: %q", i, got.Summary)
			case i < 2 && (got.Outcome != core.Fail || got.Why.Text != "timed out after 5s" || got.Ended.Sub(got.Started) != 5*time.Second):
				t.Errorf("run %d: got %s %q after %s, want fail, timed out after 5s", i, got.Outcome, got.Why, got.Ended.Sub(got.Started))
			case i >= 2 && (got.Outcome != core.Error || got.Why.Code != "stuck"):
				t.Errorf("run %d: got %s %q, want error stuck", i, got.Outcome, got.Why)
			}
		}
	})
}

// TestIntervalChange leaves no old timer, and what did not change is not
// disturbed. acceptance 12.
func TestIntervalChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		stop := run(t, e)
		same := task(t, "b:ping", 7*time.Second, pass)
		slow, quick := task(t, "a:ping", 2*time.Second, pass), task(t, "a:ping", 5*time.Second, pass)
		quick.Revision = "2"
		e.Sync([]engine.Task{slow, same}, nil)
		time.Sleep(20 * time.Second)
		next := e.Next("b:ping")
		e.Sync([]engine.Task{quick, same}, nil)
		if !e.Next("b:ping").Equal(next) {
			t.Errorf("an unchanged task moved from %s to %s", next, e.Next("b:ping"))
		}
		before := len(b.of("a:ping"))
		time.Sleep(50 * time.Second)
		if n := len(b.of("a:ping")) - before; n < 10 || n > 11 {
			t.Errorf("got %d runs in 50 s after the change to 5 s, want 10", n)
		}
		e.Sync([]engine.Task{same}, nil)
		before = len(b.of("a:ping"))
		time.Sleep(20 * time.Second)
		_ = stop()
		if n := len(b.of("a:ping")) - before; n > 0 || !e.Next("a:ping").IsZero() || e.Stats().Tasks != 1 {
			t.Errorf("got %d runs after it was removed, next %s, %d tasks", n, e.Next("a:ping"), e.Stats().Tasks)
		}
		if n := len(b.of("b:ping")); n < 12 || n > 13 {
			t.Errorf("the unchanged task ran %d times in 90 s, want 12 or 13", n)
		}
	})
}

// TestSpread: a thousand equal intervals all run within one interval and never
// all at once. acceptance 11.
func TestSpread(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		var tasks []engine.Task
		for i := range 1000 {
			tasks = append(tasks, task(t, fmt.Sprintf("s%d:ping", i), 30*time.Second, pass))
		}
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(30*time.Second + 50*time.Millisecond)
		_ = stop()
		seconds, seen := map[int64]int{}, map[string]int{}
		for _, r := range b.runs {
			seconds[r.Started.Unix()]++
			seen[r.Assignment]++
		}
		if len(seen) != 1000 {
			t.Errorf("%d of 1000 ran within one interval", len(seen))
		}
		for second, n := range seconds {
			if n > 70 {
				t.Errorf("%d started in second %d, want about 33", n, second)
			}
		}
	})
}

// TestSkipped: a tick that finds a run under way is skipped and counted.
func TestSkipped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		long := task(t, "a:ping", time.Second, func(ctx context.Context, _ *core.Run) {
			select {
			case <-time.After(2500 * time.Millisecond):
			case <-ctx.Done():
			}
		})
		long.Timeout = 5 * time.Second
		e.Sync([]engine.Task{long}, nil)
		stop := run(t, e)
		time.Sleep(30 * time.Second)
		_ = stop()
		if n, s := len(b.of("a:ping")), e.Stats(); n < 9 || n > 11 || s.Skipped < 18 || s.Skipped > 21 {
			t.Errorf("got %d runs and %d skipped in 30 s, want 10 and 20", n, s.Skipped)
		}
	})
}

// TestOverdueOnStart: what missed ticks while the process was down runs once,
// soon; what did not, and what never ran, keeps its time.
func TestOverdueOnStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		now := time.Now()
		daily, err := schedule.Parse(schedule.Spec{Cron: "@daily"})
		if err != nil {
			t.Fatal(err)
		}
		tasks := []engine.Task{
			task(t, "hourly:overdue", time.Hour, pass), task(t, "hourly:new", time.Hour, pass),
			{ID: "daily:overdue", Schedule: daily, Collect: pass},
			{ID: "daily:done", Schedule: daily, Collect: pass},
		}
		time.Sleep(time.Hour)
		e.Sync(tasks, map[string]time.Time{"hourly:overdue": now.Add(-50 * time.Hour), "daily:overdue": now.Add(-50 * time.Hour), "daily:done": now.Add(time.Minute)})
		stop := run(t, e)
		time.Sleep(time.Second)
		for id, want := range map[string]int{"hourly:overdue": 1, "daily:overdue": 1, "hourly:new": 0, "daily:done": 0} {
			if got := len(b.of(id)); got != want {
				t.Errorf("%s ran %d times in the first second, want %d", id, got, want)
			}
		}
		time.Sleep(48 * time.Hour)
		_ = stop()
		if got := len(b.of("daily:overdue")); got != 3 {
			t.Errorf("the daily one ran %d times in two days, want 3", got)
		}
	})
}

// TestClockJump: a jump of an hour either way is neither a storm nor a stall,
// and makes nothing stale. acceptance 12.
func TestClockJump(t *testing.T) {
	t.Parallel()
	for _, by := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var b book
				e := engine.New(&b, quiet(), engine.Options{})
				var tasks []engine.Task
				for i := range 100 {
					one := task(t, fmt.Sprintf("s%d:ping", i), 30*time.Second, pass)
					one.StaleAfter = 90 * time.Second
					tasks = append(tasks, one)
				}
				e.Sync(tasks, nil)
				stop := run(t, e)
				time.Sleep(10 * time.Minute)
				b.mu.Lock()
				before := len(b.runs)
				b.mu.Unlock()
				e.ShiftWall(by)
				time.Sleep(time.Minute)
				b.mu.Lock()
				after := len(b.runs) - before
				b.mu.Unlock()
				time.Sleep(10 * time.Minute)
				_ = stop()
				if after < 180 || after > 220 {
					t.Errorf("%d runs in the minute after the jump, want about 200", after)
				}
				if got := b.stale(); len(got) > 0 {
					t.Errorf("the jump made %d assignments stale", len(got))
				}
				if late := e.Stats().LateP99; late > 1000 {
					t.Errorf("lateness after the jump is %g ms", late)
				}
				for _, r := range b.runs {
					if r.Ended.Before(r.Started) {
						t.Fatalf("a run ended %s before it started", r.Started.Sub(r.Ended))
					}
				}
			})
		})
	}
}

// TestClockJumpsOverTick: a daily tick that the clock jumped over (suspend) is
// made up for once. acceptance 12.
func TestClockJumpsOverTick(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		daily, err := schedule.Parse(schedule.Spec{Cron: "30 0 * * *"}) // the bubble begins at midnight
		if err != nil {
			t.Fatal(err)
		}
		e := engine.New(&b, quiet(), engine.Options{})
		e.Sync([]engine.Task{{ID: "daily:ping", Schedule: daily, Collect: pass}}, map[string]time.Time{"daily:ping": time.Now().Add(-23 * time.Hour)})
		stop := run(t, e)
		time.Sleep(time.Minute)
		if n := len(b.of("daily:ping")); n != 0 {
			t.Errorf("%d runs before the jump, want none", n)
		}
		e.ShiftWall(8 * time.Hour)
		time.Sleep(2 * time.Second)
		if n := len(b.of("daily:ping")); n != 1 {
			t.Errorf("%d runs right after the jump, want 1", n)
		}
		time.Sleep(15 * time.Hour)
		_ = stop()
		if n := len(b.of("daily:ping")); n != 1 {
			t.Errorf("%d runs before the next day, want 1", n)
		}
	})
}

// TestRunNow does not disturb the schedule, never overlaps, and returns when
// the run is durable.
func TestRunNow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		one := task(t, "a:ping", 10*time.Second, func(context.Context, *core.Run) { time.Sleep(time.Second) })
		e.Sync([]engine.Task{one}, nil)
		if err := e.RunNow(t.Context(), "a:ping"); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("before Run: got %v, want ErrStopped", err)
		}
		stop := run(t, e)
		synctest.Wait()
		if err := e.RunNow(t.Context(), "b:ping"); !errors.Is(err, engine.ErrUnknown) {
			t.Errorf("unknown: got %v, want ErrUnknown", err)
		}
		time.Sleep(time.Until(e.Next("a:ping")) + 2*time.Second)
		next := e.Next("a:ping")
		b.fail(errors.New("disk full"))
		var returned atomic.Bool
		go func() {
			if err := e.RunNow(t.Context(), "a:ping"); err != nil {
				t.Errorf("run now: %v", err)
			}
			returned.Store(true)
		}()
		synctest.Wait()
		if err := e.RunNow(t.Context(), "a:ping"); !errors.Is(err, engine.ErrRunning) {
			t.Errorf("twice: got %v, want ErrRunning", err)
		}
		time.Sleep(3 * time.Second)
		if returned.Load() {
			t.Error("run now returned before the run was durable")
		}
		b.fail(nil)
		time.Sleep(2 * time.Second)
		if !returned.Load() {
			t.Error("run now did not return when the run was durable")
		}
		if !e.Next("a:ping").Equal(next) {
			t.Errorf("run now moved the next tick from %s to %s", next, e.Next("a:ping"))
		}
		// A tick that falls due during a manual run comes after it.
		time.Sleep(time.Until(next) - 500*time.Millisecond)
		if err := e.RunNow(t.Context(), "a:ping"); err != nil {
			t.Errorf("run now: %v", err)
		}
		time.Sleep(2 * time.Second)
		_ = stop()
		runs := b.of("a:ping")
		last := runs[len(runs)-1]
		if len(runs) != 4 || last.Manual || !last.Due.Equal(next) || !runs[1].Manual || e.Stats().Skipped != 0 {
			t.Errorf("got %d runs, the last manual %v and due %s; want 4, scheduled, due %s", len(runs), last.Manual, last.Due, next)
		}
	})
}

// TestStorageFault: while storage fails checks go on and results wait; beyond
// the buffer the oldest passing ones go first; recovery needs no restart.
func TestStorageFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{Buffer: 20, Batch: 5})
		bad := task(t, "bad:ping", time.Second, func(_ context.Context, run *core.Run) {
			run.Outcome, run.Why = core.Fail, core.Because("refused", "connection refused")
		})
		good := task(t, "good:ping", time.Second, pass)
		bad.StaleAfter, good.StaleAfter = 3*time.Second, 3*time.Second
		e.Sync([]engine.Task{bad, good}, nil)
		b.fail(errors.New("disk full"))
		stop := run(t, e)
		time.Sleep(20 * time.Second)
		s := e.Stats()
		if s.Error != "disk full" || s.Dropped < 10 || s.Unstored > 25 || s.Runs != 0 {
			t.Errorf("while storage fails: got %+v", s)
		}
		b.fail(nil)
		time.Sleep(3 * time.Second)
		if s := e.Stats(); s.Error != "" || s.Unstored > 2 {
			t.Errorf("after storage came back: got %+v", s)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := len(b.of("bad:ping")); n < 22 {
			t.Errorf("%d failing runs are stored, want all 23: they are dropped last", n)
		}
		for _, r := range b.of("good:ping") {
			if r.Outcome != core.Pass {
				t.Errorf("a fault of storage became the target's: %s %q", r.Outcome, r.Why)
			}
		}
		if got := b.stale(); len(got) > 0 {
			t.Errorf("a fault of storage made %v stale", got)
		}
		for _, id := range []string{"bad:ping", "good:ping"} {
			if !slices.IsSortedFunc(b.of(id), func(x, y core.Run) int { return x.Started.Compare(y.Started) }) {
				t.Errorf("the runs of %s are stored out of order", id)
			}
		}
	})
}

// TestRefusedRun: a run that storage refuses does not keep the others out.
func TestRefusedRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := book{refuse: "odd:ping"}
		e := engine.New(&b, quiet(), engine.Options{Linger: 2 * time.Second})
		tasks := []engine.Task{task(t, "odd:ping", 5*time.Second, pass)}
		for i := range 20 {
			tasks = append(tasks, task(t, fmt.Sprintf("s%d:ping", i), time.Second, pass))
		}
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(30 * time.Second)
		if err := stop(); err != nil {
			t.Error(err)
		}
		s := e.Stats()
		if s.Dropped < 5 || s.Dropped > 7 || s.Error != "" {
			t.Errorf("got %d dropped, error %q, want 6 and none", s.Dropped, s.Error)
		}
		if s.Runs < 590 {
			t.Errorf("%d other runs are stored, want all 600", s.Runs)
		}
	})
}

// TestSlowRecovery: as long as results of before are still being stored, storage
// cannot say that an assignment was silent.
func TestSlowRecovery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := book{slow: time.Second, err: errors.New("disk full")}
		e := engine.New(&b, quiet(), engine.Options{Batch: 5})
		silent := task(t, "silent:ping", time.Hour, pass)
		silent.StaleAfter = 5 * time.Second
		e.Sync([]engine.Task{task(t, "a:ping", time.Second, pass), task(t, "b:ping", time.Second, pass), silent}, nil)
		stop := run(t, e)
		time.Sleep(20 * time.Second)
		b.fail(nil)
		time.Sleep(5 * time.Second)
		if n := e.Stats().Unstored; n < 6 || len(b.stale()) > 0 {
			t.Errorf("while %d results of before wait still %v are stale, want none", n, b.stale())
		}
		time.Sleep(30 * time.Second)
		if n := e.Stats().Unstored; n > 5 || !slices.Contains(b.stale(), "silent:ping") {
			t.Errorf("with %d results waiting %v are stale, want the one that is silent", n, b.stale())
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestForeignRun: runs whose assignment has become another process's while they
// waited for storage are counted, and are neither stored nor a fault.
func TestForeignRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := book{err: errors.New("database is away")}
		e := engine.New(&b, quiet(), engine.Options{})
		e.Sync([]engine.Task{task(t, "ours:ping", time.Second, pass), task(t, "moved:ping", time.Second, pass)}, nil)
		stop := run(t, e)
		time.Sleep(10 * time.Second)
		b.mu.Lock()
		b.err, b.foreign = nil, "moved:ping"
		b.mu.Unlock()
		time.Sleep(2 * time.Second)
		if err := e.RunNow(t.Context(), "moved:ping"); !errors.Is(err, engine.ErrForeign) {
			t.Errorf("run what another has now: got %v, want %v", err, engine.ErrForeign)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		s := e.Stats()
		if s.Foreign < 12 || s.Foreign > 14 || s.Runs < 11 || s.Runs > 13 || s.Dropped != 0 || s.Error != "" {
			t.Errorf("got %+v, want 12 stored, about 13 foreign and none dropped", s)
		}
	})
}

// TestStopWithoutStorage says what was lost, and returns.
func TestStopWithoutStorage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := book{err: errors.New("disk full")}
		e := engine.New(&b, quiet(), engine.Options{Drain: 2 * time.Second})
		e.Sync([]engine.Task{task(t, "a:ping", time.Second, pass)}, nil)
		stop := run(t, e)
		time.Sleep(5 * time.Second)
		before := time.Now()
		if err := stop(); err == nil || !strings.Contains(err.Error(), "disk full") {
			t.Errorf("got %v, want how many runs were lost and why", err)
		}
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("it took %s to stop, want about 2s", took)
		}
	})
}

// TestStale: a timer finds what went silent; active windows and a run that
// waits do not count as silence. acceptance 8.
func TestStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		rare, err := schedule.Parse(schedule.Spec{Cron: "0 12 * * *"}) // the bubble begins at midnight
		if err != nil {
			t.Fatal(err)
		}
		closed, err := schedule.Parse(schedule.Spec{Every: core.Duration(10 * time.Second), Active: []core.ActiveWindow{{From: "12:00", To: "13:00"}}})
		if err != nil {
			t.Fatal(err)
		}
		live := task(t, "live:ping", 10*time.Second, pass)
		live.StaleAfter = 30 * time.Second
		e.Sync([]engine.Task{
			live,
			{ID: "silent:ping", Schedule: rare, StaleAfter: time.Minute, Collect: pass},
			{ID: "closed:ping", Schedule: closed, StaleAfter: 30 * time.Second, Collect: pass},
			{ID: "never:ping", Schedule: rare, Collect: pass},
		}, nil)
		stop := run(t, e)
		time.Sleep(58 * time.Second)
		if got := b.stale(); len(got) > 0 {
			t.Errorf("after 58 s: %v are stale, want none", got)
		}
		time.Sleep(5 * time.Second)
		if got := b.stale(); !slices.Equal(got, []string{"silent:ping"}) {
			t.Errorf("after 63 s: %v are stale, want silent:ping", got)
		}
		time.Sleep(12*time.Hour + 30*time.Minute)
		_ = stop()
		for _, id := range b.stale() {
			if id != "silent:ping" {
				t.Errorf("%s became stale", id)
			}
		}
		if n := len(b.of("closed:ping")); n < 170 || n > 190 {
			t.Errorf("%d runs in the first half of the active hour, want 180 or so", n)
		}
	})
}

// TestPaused: that the process itself did not run for longer than checks may be
// silent makes none of them stale, and those that stay silent are found all the
// same. acceptance 12.
func TestPaused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{})
		live := task(t, "live:ping", 10*time.Second, pass)
		live.StaleAfter = 30 * time.Second
		silent := live
		silent.ID, silent.Schedule = "silent:ping", every(t, 24*time.Hour, "silent")
		e.Sync([]engine.Task{live, silent}, nil)
		stop := run(t, e)
		time.Sleep(15 * time.Second)
		e.Paused(5 * time.Minute)
		time.Sleep(14 * time.Second)
		if got := b.stale(); len(got) > 0 {
			t.Errorf("after a pause of the process: %v are stale, want none", got)
		}
		time.Sleep(20 * time.Second)
		_ = stop()
		if got := b.stale(); !slices.Equal(got, []string{"silent:ping"}) {
			t.Errorf("later: %v are stale, want silent:ping", got)
		}
	})
}

// TestPerHost holds a crowded host to its limit, and those that wait hold no
// worker.
func TestPerHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		var now, most atomic.Int32
		e := engine.New(&b, quiet(), engine.Options{Workers: 4, PerHost: 2})
		var tasks []engine.Task
		for i := range 20 {
			one := task(t, fmt.Sprintf("s%d:busy", i), 10*time.Second, func(context.Context, *core.Run) {
				most.Store(max(most.Load(), now.Add(1)))
				time.Sleep(800 * time.Millisecond)
				now.Add(-1)
			})
			one.Host = "busy.example"
			tasks = append(tasks, one)
		}
		tasks = append(tasks, task(t, "free:ping", time.Second, pass))
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(100 * time.Second)
		e.Sync(tasks[10:], nil) // some of them wait just now
		time.Sleep(50 * time.Second)
		s := e.Stats()
		_ = stop()
		if most.Load() != 2 {
			t.Errorf("%d runs at once against one host, want 2", most.Load())
		}
		if n := len(b.of("free:ping")); n < 148 {
			t.Errorf("the other check ran %d times in 150 s, want 149: it must not wait", n)
		}
		if n := len(b.of("s19:busy")); n < 13 {
			t.Errorf("the last one ran %d times, want 14 or 15", n)
		}
		if s.Tasks != 11 {
			t.Errorf("got %d tasks, want 11", s.Tasks)
		}
	})
}

// TestPerHostLanes shares one host between checks that hang and checks that
// are well, as with several services behind one name. Once those that hang are
// in the slow lane they must not take the places of the others. acceptance 14.
func TestPerHostLanes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		hang := func(ctx context.Context, run *core.Run) {
			<-ctx.Done()
			run.Outcome = core.Fail
		}
		e := engine.New(&b, quiet(), engine.Options{PerHost: 2})
		var tasks []engine.Task
		for i := range 20 {
			one := task(t, fmt.Sprintf("s%d:check", i), 2*time.Second, pass)
			if i < 10 {
				one.Collect = hang
			}
			one.Host = "shared.example"
			tasks = append(tasks, one)
		}
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(time.Minute) // until all that hang have failed twice
		before := len(b.of("s19:check"))
		time.Sleep(time.Minute)
		_ = stop()
		if n := len(b.of("s19:check")) - before; n < 29 {
			t.Errorf("a check that is well ran %d times in a minute, want 30", n)
		}
		if n := len(b.of("s0:check")); n < 5 {
			t.Errorf("one that hangs ran %d times in two minutes, want some", n)
		}
	})
}

// TestSlowLane: who fails slowly twice moves to the slow lane, gets a shorter
// timeout only while it is crowded and a full one now and then, and leaves it
// with the first run that is not slow.
func TestSlowLane(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		var up atomic.Bool
		hang := func(ctx context.Context, run *core.Run) {
			if up.Load() {
				time.Sleep(2 * time.Second) // slow, and alive
				return
			}
			<-ctx.Done()
			run.Outcome = core.Fail
		}
		e := engine.New(&b, quiet(), engine.Options{Workers: 20, SlowWorkers: 2})
		var tasks []engine.Task
		for i := range 20 {
			tasks = append(tasks, task(t, fmt.Sprintf("hole%d:ping", i), 10*time.Second, hang))
		}
		tasks = append(tasks, task(t, "good:ping", time.Second, pass))
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(5 * time.Minute)
		if s := e.Stats(); s.Slow != 20 {
			t.Errorf("%d assignments in the slow lane, want 20", s.Slow)
		}
		const full, cut = 5 * time.Second, 1250 * time.Millisecond
		var shortened, whole int
		for i := range 20 {
			for _, r := range b.of(fmt.Sprintf("hole%d:ping", i)) {
				if took := r.Ended.Sub(r.Started); took == full {
					whole++
				} else if took != cut || !strings.Contains(r.Why.Text, "timed out after 1.25s; its timeout of 5s is cut") {
					t.Errorf("a run took %s and says %q, want 5s or 1.25s", took, r.Why)
				} else {
					shortened++
				}
			}
		}
		if shortened < whole || whole < 60 {
			t.Errorf("%d shortened and %d full runs", shortened, whole)
		}
		if n := len(b.of("good:ping")); n < 298 {
			t.Errorf("the healthy one ran %d times in 300 s", n)
		}
		up.Store(true)
		time.Sleep(2 * time.Minute)
		if s := e.Stats(); s.Slow != 0 {
			t.Errorf("%d assignments still in the slow lane after they recovered", s.Slow)
		}
		_ = stop()
	})
}

// TestStopDrains: runs under way are finished and recorded; those that take
// longer than the drain are cut short as our fault, not the target's.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		release := make(chan struct{})
		e := engine.New(&b, quiet(), engine.Options{Drain: 3 * time.Second})
		wait := func(d time.Duration) func(context.Context, *core.Run) {
			return func(ctx context.Context, run *core.Run) {
				select {
				case <-time.After(d):
				case <-ctx.Done():
					run.Outcome, run.Why = core.Fail, core.Because("net", "context canceled")
				}
			}
		}
		tasks := []engine.Task{
			{ID: "short", Schedule: every(t, time.Hour, "a"), Timeout: time.Minute, Collect: wait(2 * time.Second)},
			{ID: "long", Schedule: every(t, time.Hour, "b"), Timeout: time.Minute, Collect: wait(30 * time.Second)},
			{ID: "deaf", Schedule: every(t, time.Hour, "c"), Timeout: time.Minute, Collect: func(context.Context, *core.Run) { <-release }},
		}
		e.Sync(tasks, nil)
		stop := run(t, e)
		synctest.Wait()
		var wg sync.WaitGroup
		for _, id := range []string{"short", "long", "deaf"} {
			wg.Go(func() {
				if err := e.RunNow(t.Context(), id); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		before := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if took := time.Since(before); took < 3*time.Second || took > 4*time.Second {
			t.Errorf("it took %s to stop, want a little over 3s", took)
		}
		for id, want := range map[string]core.Outcome{"short": core.Pass, "long": core.Error, "deaf": core.Error} {
			if runs := b.of(id); len(runs) != 1 || runs[0].Outcome != want {
				t.Errorf("%s: got %v, want one %s", id, runs, want)
			}
		}
		close(release)
	})
}

// TestEditStorm edits the set of tasks while they run: never two runs of one
// assignment at once, each started run is recorded once.
func TestEditStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		var started, overlaps atomic.Int64
		var busy [50]atomic.Int32
		e := engine.New(&b, quiet(), engine.Options{Workers: 8, PerHost: 3})
		stop := run(t, e)
		for round := range 200 {
			var tasks []engine.Task
			for i := range 50 {
				if (i+round)%7 == 0 {
					continue
				}
				one := task(t, fmt.Sprintf("s%d:ping", i), time.Duration(1+(i+round/10)%3)*time.Second, func(context.Context, *core.Run) {
					started.Add(1)
					if busy[i].Add(1) > 1 {
						overlaps.Add(1)
					}
					time.Sleep(time.Duration(i*7) * time.Millisecond)
					busy[i].Add(-1)
				})
				one.Revision = fmt.Sprint(round / 10)
				one.Host = fmt.Sprint("host", (i+round/20)%4)
				tasks = append(tasks, one)
			}
			e.Sync(tasks, nil)
			time.Sleep(300 * time.Millisecond)
		}
		e.Sync(nil, nil)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if started.Load() < 500 || overlaps.Load() > 0 || int64(len(b.runs)) != started.Load() {
			t.Errorf("%d started, %d recorded, %d overlapped", started.Load(), len(b.runs), overlaps.Load())
		}
		if s := e.Stats(); s.Waiting != 0 || s.Inflight != 0 || s.Tasks != 0 || s.Slow != 0 {
			t.Errorf("at the end: %+v", s)
		}
	})
}

// TestLateness: with one worker two runs that are due at once take turns, the
// second when the first has lent its place; the percentile shows it.
func TestLateness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b book
		e := engine.New(&b, quiet(), engine.Options{Workers: 1})
		var tasks []engine.Task
		for i := range 2 {
			tasks = append(tasks, engine.Task{ID: fmt.Sprint("s", i), Schedule: every(t, 2*time.Second, "same"), Timeout: time.Second, Collect: func(context.Context, *core.Run) { time.Sleep(400 * time.Millisecond) }})
		}
		e.Sync(tasks, nil)
		stop := run(t, e)
		time.Sleep(time.Minute)
		if got := e.Stats().LateP99; got < 99 || got > 125 {
			t.Errorf("p99 lateness is %g ms, want 100 and at most an eighth more", got)
		}
		_ = stop()
	})
}
