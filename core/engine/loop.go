package engine

import (
	"context"
	"log/slog"
	"time"
)

// loop waits for the first due time and hands out what is due.
func (e *Engine) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-e.nudge:
		}
		timer.Reset(e.fire(ctx))
	}
}

// fire hands out what is due and returns how long to wait for the next, at most
// a second, so that a jump of the wall clock is noticed.
func (e *Engine) fire(ctx context.Context) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	wall, mono := e.wall(), e.mono()
	if by := wall.Sub(e.lastWall) - (mono - e.lastMono); by.Abs() > jump {
		e.log.WarnContext(ctx, "the wall clock jumped; due times are computed anew", slog.Duration("by", by))
		e.jumped(wall, by)
	}
	e.lastWall, e.lastMono = wall, mono
	for n := 1; ; n++ {
		tick, due := e.due.Pop(wall)
		if tick == nil {
			break
		}
		e.fall(tick.Key, due, wall)
		if n%256 == 0 { // workers must get their turn
			e.mu.Unlock()
			e.mu.Lock()
		}
	}
	wait := time.Second
	if e.man(&e.fast); e.fast.ready.len() > 0 {
		wait = lendAfter / 2
	}
	if _, next := e.due.Peek(); !next.IsZero() {
		wait = min(wait, max(next.Sub(e.wall()), 0))
	}
	return wait
}

// fall deals with a tick that fell due.
func (e *Engine) fall(en *entry, due, wall time.Time) {
	next := en.task.Schedule.Next(due)
	if !next.IsZero() && !next.After(wall) { // the loop itself was late by more than an interval
		e.skipped++
		next = en.task.Schedule.Next(wall)
	}
	if !next.IsZero() {
		e.due.Add(&en.tick, next)
	}
	switch {
	case en.state == idle:
		e.enqueue(en, due)
	case en.state == running && en.later.IsZero() && en.asked():
		en.later = due // a manual run takes no tick away
	default:
		e.skipped++
	}
}

// asked reports whether the run of en that waits or is under way was asked for
// by somebody, not by the schedule.
func (en *entry) asked() bool { return en.due.IsZero() }

// jumped computes all due times anew. Ticks that the clock jumped over are
// made up for once, when the next is far; those of short intervals are not,
// because they were not missed: the time has not passed.
func (e *Engine) jumped(wall time.Time, by time.Duration) {
	all := make([]*entry, 0, len(e.entries))
	for _, en := range e.entries {
		if en.gone {
			continue
		}
		if en.state == waiting && !en.due.IsZero() {
			en.due = en.due.Add(by) // keep the lateness what it is
		}
		if !en.later.IsZero() {
			en.later = en.later.Add(by)
		}
		all = append(all, en)
	}
	e.makeUp(e.plan(all, wall, 10*soon), wall)
}
