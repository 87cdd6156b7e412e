package engine

import "time"

// ShiftWall makes the wall clock jump, and not the monotonic one.
func (e *Engine) ShiftWall(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.wall
	e.wall = func() time.Time { return was().Add(by) }
}

// Paused makes it seem as if the process had been stopped for d until now: the
// monotonic clock went on, and nothing else did.
func (e *Engine) Paused(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.looked -= d
	for _, en := range e.entries {
		en.heard -= d
		e.silence.Reschedule(&en.watch, monotonic(e.mono()))
	}
}
