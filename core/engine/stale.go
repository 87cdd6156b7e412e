package engine

import (
	"context"
	"log/slog"
	"time"
)

const (
	// lookEvery is how often the engine looks for assignments that went silent.
	lookEvery = time.Second
	// lookAgain is how long it leaves one alone that it has called silent. The
	// ledger decides by the wall clock and may not have agreed yet.
	lookAgain = 15 * time.Second
	// missedLooks is how many looks in a row must have been missed for the
	// process itself to have been paused, or starved.
	missedLooks = 3
)

// watch calls Expire for assignments that have been silent for longer than
// they promise. Each is looked at about once in the time it may be silent, not
// after each run, so that a hundred thousand cost next to nothing.
func (e *Engine) watch(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if e.recorder.behind() {
			continue // what ran is waiting for storage: silence is ours
		}
		now, ids := e.silent()
		if len(ids) == 0 {
			continue
		}
		if err := e.recorder.rec.Expire(ctx, ids, now); err != nil && ctx.Err() == nil {
			e.log.ErrorContext(ctx, "mark silent assignments stale", slog.Int("assignments", len(ids)), slog.Any("err", err))
			e.again(ids)
		}
	}
}

// silent lists the assignments that are silent for too long, now. They are
// looked at again later, as long as they are silent.
func (e *Engine) silent() (now time.Time, ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wall, mono := e.wall(), e.mono()
	if mono-e.looked > missedLooks*lookEvery { // the silence was ours: all begin anew, as after a start
		for _, en := range e.entries {
			en.heard = mono
		}
	}
	e.looked = mono
	for {
		popped, _ := e.silence.Pop(monotonic(mono))
		if popped == nil {
			return wall, ids
		}
		en := popped.Key
		wait := en.task.StaleAfter - (mono - e.since(en, wall, mono))
		if wait < 0 {
			ids = append(ids, en.task.ID)
			wait = lookAgain
		}
		e.silence.Add(popped, monotonic(mono+max(wait, lookEvery)))
	}
}

// since is from when the silence of en counts: its newest run, or the opening
// of its active window. Outside the windows and while a run is under way or
// waits in the slow lane there is none. A tick that waits for a worker of the
// fast lane for as long as the whole of its patience is silence indeed.
func (e *Engine) since(en *entry, wall time.Time, mono time.Duration) time.Duration {
	if en.state == running || en.state == waiting && en.lane == &e.slow || !en.task.Schedule.Active(wall) {
		return mono
	}
	since := en.heard
	if opened := en.task.Schedule.Opened(wall); !opened.IsZero() {
		since = max(since, mono-wall.Sub(opened))
	}
	if en.state == waiting && !en.asked() {
		since = max(since, mono-wall.Sub(en.due))
	}
	return since
}

// again makes the next look include ids.
func (e *Engine) again(ids []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		if en, ok := e.entries[id]; ok {
			e.silence.Reschedule(&en.watch, monotonic(e.mono()))
		}
	}
}
