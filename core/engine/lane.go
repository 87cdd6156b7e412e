package engine

import "time"

const (
	// rest is how long a worker without work waits for some before it ends.
	rest = time.Second
	// lendAfter is how long a run must have lasted to lend its place.
	lendAfter = 100 * time.Millisecond
	// lendMost is how many places may be lent, times the workers of the lane.
	lendMost = 4
)

// lane is a pool of workers and what waits for one.
type lane struct {
	limit    int
	slow     bool
	lendable int
	lent     int             // places that runs under way have lent
	workers  int             // at work or idle, not stuck; at most limit + lent
	idle     int             // and not woken yet
	oldest   deque[*attempt] // those under way that may lend, and some that are over
	ready    deque[*entry]
	wake     chan struct{} // a token for each idle worker that was woken
}

// host limits runs that are under way at once against one host. Each lane is
// counted apart: what is slow to fail on a host must not keep those out that
// find it well.
type host struct {
	users      int // entries that name it
	fast, slow seats
}

// seats are the runs of one lane against one host.
type seats struct {
	busy   int
	parked deque[*entry]
}

func (h *host) seats(l *lane) *seats {
	if l.slow {
		return &h.slow
	}
	return &h.fast
}

// rehost makes en count against the host of that name.
func (e *Engine) rehost(en *entry, name string) {
	if old := en.host; old != nil {
		old.users--
		if old.users == 0 {
			delete(e.hosts, en.task.Host)
		}
		parked := &old.seats(en.lane).parked
		for waits := parked.len(); waits > 0 && en.state == waiting; waits-- {
			if p := parked.pop(); p == en {
				en.lane.ready.push(p)
				e.man(en.lane)
			} else {
				parked.push(p)
			}
		}
	}
	en.host = nil
	if name == "" {
		return
	}
	if e.hosts[name] == nil {
		e.hosts[name] = &host{}
	}
	en.host = e.hosts[name]
	en.host.users++
}

// enqueue makes an idle entry wait for a worker; due is zero for a manual run,
// which goes before the others.
func (e *Engine) enqueue(en *entry, due time.Time) {
	if !e.running {
		return
	}
	en.state, en.due = waiting, due
	e.waiting++
	to := &e.fast
	// With a backlog one slow failure is enough: who has not answered for a
	// whole timeout must not hold up the others for another.
	if en.slow >= 2 || en.slow == 1 && (e.fast.ready.len() > 0 || en.lane == &e.slow) {
		to = &e.slow
	}
	e.move(en, to)
	if due.IsZero() {
		to.ready.pushFront(en)
	} else {
		to.ready.push(en)
	}
	e.man(to)
}

func (e *Engine) move(en *entry, to *lane) {
	if en.lane == to {
		return
	}
	en.lane = to
	if to == &e.slow {
		e.crawling++
	} else {
		e.crawling--
	}
}

// man sees to it that somebody works on what is ready.
func (e *Engine) man(l *lane) {
	for n := l.ready.len(); n > 0; n-- {
		switch {
		case l.idle > 0:
			l.idle--
			l.wake <- struct{}{} // has room for every worker
		case l.workers < l.limit+l.lent || e.lend(l):
			l.workers++
			e.workers.Add(1)
			go e.work(l)
		default:
			return
		}
	}
}

// lend takes the place of the oldest run under way, if it has lasted long
// enough: it waits for its target and needs little else.
func (e *Engine) lend(l *lane) bool {
	if l.lent >= l.lendable {
		return false
	}
	for l.oldest.len() > 0 {
		a := *l.oldest.peek()
		if !a.over && e.mono()-a.begun < lendAfter {
			return false
		}
		l.oldest.pop()
		if !a.over {
			a.lent = true
			l.lent++
			return true
		}
	}
	return false
}

// take finds the next entry that may run now; those whose host is busy step
// aside. It returns nil when there is none, or when the place of the worker was
// lent and is claimed back.
func (e *Engine) take(l *lane) *attempt {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l.workers <= l.limit+l.lent && l.ready.len() > 0 {
		en := l.ready.pop()
		if en.gone {
			e.waiting--
			en.state = idle
			tell(en.manual, ErrUnknown)
			e.unpark(en.host, l)
			e.forget(en)
			continue
		}
		if en.host != nil {
			s := en.host.seats(l)
			if s.busy >= e.o.PerHost {
				s.parked.push(en)
				continue
			}
			s.busy++
		}
		return e.attempt(l, en)
	}
	return nil
}

// release lets the next of those of a lane run that wait for the host.
func (e *Engine) release(h *host, l *lane) {
	if h == nil {
		return
	}
	h.seats(l).busy--
	e.unpark(h, l)
}

// unpark makes the first of those of a lane ready that wait for the host.
func (e *Engine) unpark(h *host, l *lane) {
	if h == nil {
		return
	}
	s := h.seats(l)
	if s.parked.len() == 0 || s.busy >= e.o.PerHost {
		return
	}
	l.ready.pushFront(s.parked.pop())
	e.man(l)
}

// work runs what is ready until there was nothing for a while.
func (e *Engine) work(l *lane) {
	var timer *time.Timer
	for {
		for a := e.take(l); a != nil; a = e.take(l) {
			if !e.perform(a) {
				return // somebody else took this worker's place
			}
		}
		if timer == nil {
			timer = time.NewTimer(rest)
			defer timer.Stop()
		} else {
			timer.Reset(rest)
		}
		if !e.repose(l, timer) {
			return
		}
	}
}

// repose waits for work and reports whether there may be some.
func (e *Engine) repose(l *lane, timer *time.Timer) bool {
	e.mu.Lock()
	if l.workers > l.limit+l.lent {
		l.workers--
		e.workers.Done()
		e.mu.Unlock()
		return false
	}
	if l.ready.len() > 0 {
		e.mu.Unlock()
		return true
	}
	l.idle++
	e.mu.Unlock()
	select {
	case <-l.wake:
		return true
	case <-e.halt:
	case <-timer.C:
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.idle == 0 { // woken in the same instant
		<-l.wake
		return true
	}
	l.idle--
	l.workers--
	e.workers.Done()
	return false
}

// deque is a queue with two ends. Its zero value is empty.
type deque[T any] struct {
	ring        []T
	first, size int
}

func (d *deque[T]) len() int { return d.size }

func (d *deque[T]) push(v T) {
	d.grow()
	d.ring[(d.first+d.size)%len(d.ring)] = v
	d.size++
}

func (d *deque[T]) pushFront(v T) {
	d.grow()
	d.first = (d.first - 1 + len(d.ring)) % len(d.ring)
	d.ring[d.first] = v
	d.size++
}

// peek is the first; there must be one.
func (d *deque[T]) peek() *T { return &d.ring[d.first] }

// pop takes the first; there must be one.
func (d *deque[T]) pop() T {
	var none T
	v := d.ring[d.first]
	d.ring[d.first] = none
	d.first = (d.first + 1) % len(d.ring)
	d.size--
	if d.size == 0 {
		*d = deque[T]{ring: d.ring[:min(len(d.ring), 1024)]} // give back what a burst took
		if cap(d.ring) > 1024 {
			d.ring = nil
		}
	}
	return v
}

func (d *deque[T]) grow() {
	if d.size < len(d.ring) {
		return
	}
	bigger := make([]T, max(16, 2*len(d.ring)))
	n := copy(bigger, d.ring[d.first:])
	copy(bigger[n:], d.ring[:d.first])
	d.ring, d.first = bigger, 0
}
