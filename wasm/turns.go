package wasm

import (
	"context"
	"runtime"
	"sync/atomic"
)

// turns are what guests take that compute for longer than the fuel they were
// given at first, which is enough for most. There is one turn fewer than there
// are processors, at least one: native code of guests is not preempted, so
// without turns every processor could be busy with guests while a check that
// is due waits behind all of them.
type turns struct {
	free    chan struct{}
	waiting *atomic.Int64
}

func newTurns() turns {
	t := turns{make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)), &atomic.Int64{}}
	for range cap(t.free) {
		t.free <- struct{}{}
	}
	return t
}

// pass gives r a turn. One that has it already goes to the back of the queue
// when others wait. It returns without a turn when ctx ends.
func (t turns) pass(ctx context.Context, r *run) {
	if r.turn {
		if t.waiting.Load() == 0 {
			return
		}
		t.leave(r)
	}
	select {
	case <-t.free:
		r.turn = true
		return
	default:
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	select {
	case <-t.free:
		r.turn = true
	case <-ctx.Done():
	}
}

// leave gives the turn of r back, when it has one.
func (t turns) leave(r *run) {
	if r.turn {
		r.turn = false
		t.free <- struct{}{}
	}
}
