package engine

import "time"

// ShiftWall makes the wall clock jump, and not the monotonic one.
func (e *Engine) ShiftWall(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was := e.wall
	e.wall = func() time.Time { return was().Add(by) }
}
