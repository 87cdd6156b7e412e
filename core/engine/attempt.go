package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// Limits of the slow lane.
const (
	slowShare  = 0.8 // of its timeout: a failure that took as long is a slow one
	shortenBy  = 4   // while the slow lane is crowded
	shortest   = 250 * time.Millisecond
	fullEvery  = 4 // each so many runs in the slow lane have their full timeout
	maxStuck   = 2 // collectors of one Assignment that may be stuck before it is run no more
	stuckText  = "{count} earlier runs of this check still have not returned, long after their deadline; it is not started again until they have"
	cutText    = "the run was cut short because tocsin was stopping"
	panicText  = "the collector crashed: {panic}"
	muteText   = "the collector gave no reason"
	oddText    = "the collector gave the unknown outcome {outcome}"
	shortText  = "timed out after {timeout}; its timeout of {full} is cut while many slow targets wait, as its last {slow} runs failed slowly too"
	goexitText = "the collector ended its goroutine"
)

// attempt is one run under way. Its fields do not change but for over and
// lent, which the mutex of the Engine guards.
type attempt struct {
	en       *entry
	task     *Task
	lane     *lane
	host     *host
	due      time.Time
	epoch    int64
	started  time.Time
	begun    time.Duration // started, by the monotonic clock
	timeout  time.Duration
	slow     int
	manual   bool
	waiter   chan error
	refused  core.Why // why the collector is not asked
	deadline *time.Timer
	over     bool
	lent     bool // its place in the lane
}

// attempt makes an entry that was waiting run.
func (e *Engine) attempt(l *lane, en *entry) *attempt {
	e.waiting--
	en.state = running
	a := &attempt{
		en: en, task: en.task, lane: l, host: en.host, due: en.due, started: e.wall(), begun: e.mono(), timeout: en.task.Timeout,
		slow: en.slow, manual: en.asked(), waiter: en.manual, epoch: e.o.Epoch(en.task.ID),
	}
	en.manual = nil
	if a.manual {
		a.due = a.started
	} else if l == &e.fast {
		e.late.add(a.started.Sub(a.due), a.begun)
	}
	if l == &e.slow && !a.manual {
		a.shorten(l.ready.len() > 0)
	}
	if en.stuck >= maxStuck {
		a.refused = core.Because("stuck", stuckText, "count", fmt.Sprint(en.stuck))
	}
	// Beyond the deadline the run is over whether its collector returns or not.
	a.deadline = time.AfterFunc(a.timeout+grace, func() { e.end(a, nil) })
	e.attempts[a] = struct{}{}
	l.remember(a)
	return a
}

// remember notes a run that may lend its place. Those that are over leave at
// the front, which is the end at which lend looks.
func (l *lane) remember(a *attempt) {
	if l.lendable == 0 {
		return
	}
	for l.oldest.len() > 0 && (*l.oldest.peek()).over {
		l.oldest.pop()
	}
	l.oldest.push(a)
}

func (a *attempt) shorten(crowded bool) {
	if !crowded || a.en.short >= fullEvery-1 {
		a.en.short = 0
		return
	}
	a.en.short++
	a.timeout = min(a.timeout, max(a.timeout/shortenBy, shortest))
}

// perform asks the collector. It reports whether the calling worker goes on: it
// does not when its deadline passed and another took its place.
//
//nolint:contextcheck,nolintlint // runs live as long as the engine, not as long as who caused them
func (e *Engine) perform(a *attempt) (mine bool) {
	ctx, cancel := context.WithTimeout(e.runs, a.timeout)
	defer cancel()
	run := &core.Run{}
	a.stamp(run)
	returned := false
	defer func() {
		if !returned { // runtime.Goexit: no recover stops it
			run.Outcome, run.Why = core.Error, core.Because("panic", goexitText)
			a.deadline.Stop()
			e.replace(a, e.end(a, run))
		}
	}()
	e.collect(ctx, a, run)
	returned = true
	a.deadline.Stop()
	return e.end(a, run)
}

// collect calls the collector and turns a panic into an Error.
func (e *Engine) collect(ctx context.Context, a *attempt, run *core.Run) {
	defer func() {
		if p := recover(); p != nil {
			e.log.ErrorContext(ctx, "a collector crashed", slog.String("assignment", a.task.ID), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			*run = core.Run{Outcome: core.Error, Why: core.Because("panic", panicText, "panic", clip(fmt.Sprint(p)))}
		}
	}()
	if !a.refused.IsZero() {
		run.Outcome, run.Why = core.Error, a.refused
		return
	}
	a.task.Collect(ctx, run)
}

func clip(s string) string {
	const most = 500
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}

// replace makes up for a worker that is about to end.
func (e *Engine) replace(a *attempt, mine bool) {
	if !mine {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a.lane.workers--
	e.workers.Done()
	e.man(a.lane)
}

// stamp writes what is the engine's to say of a run.
func (a *attempt) stamp(run *core.Run) {
	run.ID, run.Assignment, run.Due, run.Started, run.Manual = 0, a.task.ID, a.due, a.started, a.manual
	run.Epoch = a.epoch
}

// end is the one exit of every run: it decides what is recorded, hands it to
// the recorder, and frees what the run held. run is nil when the collector has
// not returned: then it may still write to its own, which is never read. Only
// the first call for an attempt counts; end reports whether it was this one.
func (e *Engine) end(a *attempt, run *core.Run) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	en := a.en
	if a.over { // it came back after all, and nobody waits for it
		e.stuck--
		en.stuck--
		return false
	}
	a.over = true
	delete(e.attempts, a)
	if a.lent {
		a.lane.lent--
	}
	took := e.mono() - a.begun
	if run == nil {
		e.stuck++
		en.stuck++
		a.lane.workers-- // the worker is lost in the collector; see perform
		e.workers.Done()
	}
	run = e.verdict(a, run, took)
	e.account(a, run, took)
	e.recorder.add(run, a.waiter)
	e.settle(a)
	return true
}

// verdict is the run to record.
func (e *Engine) verdict(a *attempt, run *core.Run, took time.Duration) *core.Run {
	stopping := errors.Is(context.Cause(e.runs), errStopping)
	late := took >= a.timeout
	switch {
	case run == nil && stopping, run != nil && stopping && run.Outcome == core.Fail:
		run = &core.Run{Outcome: core.Error, Why: core.Because("stopped", cutText)}
	case run == nil, late && run.Outcome <= core.Warn, late && run.Outcome == core.Fail && run.Why.IsZero():
		run = &core.Run{Outcome: core.Fail, Why: a.timedOut(), Latency: a.timeout}
		took = min(took, a.timeout)
	case run.Outcome > core.Error:
		run = &core.Run{Outcome: core.Error, Why: core.Because("outcome", oddText, "outcome", run.Outcome.String())}
	case run.Outcome != core.Pass && run.Why.IsZero():
		run.Why = core.Because("unexplained", muteText)
	}
	a.stamp(run)
	run.Ended = a.started.Add(took)
	return run
}

func (a *attempt) timedOut() core.Why {
	timeout, full := core.Duration(a.timeout).String(), core.Duration(a.task.Timeout).String()
	if a.timeout == a.task.Timeout {
		return core.Because("timeout", "timed out after {timeout}", "timeout", timeout)
	}
	return core.Because("timeout", shortText, "timeout", timeout, "full", full, "slow", fmt.Sprint(a.slow))
}

// account notes how the run went.
func (e *Engine) account(a *attempt, run *core.Run, took time.Duration) {
	en := a.en
	en.ended, en.heard = run.Ended, e.mono()
	switch {
	case run.Outcome == core.Error: // says nothing of the target
	case run.Outcome == core.Fail && float64(took) >= slowShare*float64(a.timeout):
		en.slow++
	default:
		en.slow, en.short = 0, 0
		e.move(en, &e.fast)
	}
}

// settle frees what the run held.
func (e *Engine) settle(a *attempt) {
	en := a.en
	en.state = idle
	e.release(a.host, a.lane)
	switch {
	case en.gone:
		e.forget(en)
	case !en.later.IsZero():
		due := en.later
		en.later = time.Time{}
		e.enqueue(en, due)
	}
	e.man(a.lane)
	if !e.running && len(e.attempts) == 0 {
		close(e.drained)
	}
}
