package schedule

import "time"

// Queue holds what is due and when, earliest first: a binary heap that knows
// the place of each entry, so that adding, removing and rescheduling one of n
// costs O(log n) and nothing is ever sorted or scanned. Its zero value is an
// empty queue. It is not safe for concurrent use.
type Queue[K any] struct {
	heap []slot[K]
}

// Entry is a place in a Queue. It belongs to one Queue at most.
type Entry[K any] struct {
	Key   K
	index int // in the heap, plus 1; 0: in no queue
}

// slot keeps the time beside the pointer: comparing touches no other memory.
type slot[K any] struct {
	at    int64 // nanoseconds of the Unix epoch
	entry *Entry[K]
}

// Len is the number of entries.
func (q *Queue[K]) Len() int { return len(q.heap) }

// Add puts e in the queue, due at at. An entry that is in the queue already is
// rescheduled.
func (q *Queue[K]) Add(e *Entry[K], at time.Time) {
	if e.index > 0 {
		q.Reschedule(e, at)
		return
	}
	q.heap = append(q.heap, slot[K]{at: at.UnixNano(), entry: e})
	e.index = len(q.heap)
	q.up(len(q.heap) - 1)
}

// Remove takes e out of the queue; it reports whether it was in it.
func (q *Queue[K]) Remove(e *Entry[K]) bool {
	if e.index == 0 {
		return false
	}
	i, last := e.index-1, len(q.heap)-1
	moved := q.heap[last]
	q.heap[last] = slot[K]{}
	q.heap = q.heap[:last]
	e.index = 0
	if i < last {
		q.place(i, moved)
		q.settle(i)
	}
	if c := cap(q.heap); c > 1024 && last < c/4 {
		q.heap = append(make([]slot[K], 0, c/2), q.heap...)
	}
	return true
}

// Reschedule moves an entry of the queue to another time; one that is in no
// queue is left alone.
func (q *Queue[K]) Reschedule(e *Entry[K], at time.Time) {
	if e.index == 0 {
		return
	}
	i := e.index - 1
	q.heap[i].at = at.UnixNano()
	q.settle(i)
}

// Peek is the earliest entry, which stays in the queue, and when it is due; nil
// when the queue is empty.
func (q *Queue[K]) Peek() (*Entry[K], time.Time) {
	if len(q.heap) == 0 {
		return nil, time.Time{}
	}
	return q.heap[0].entry, time.Unix(0, q.heap[0].at)
}

// Pop takes the earliest entry out when it is due at now or before, or returns
// nil.
func (q *Queue[K]) Pop(now time.Time) (*Entry[K], time.Time) {
	if len(q.heap) == 0 || q.heap[0].at > now.UnixNano() {
		return nil, time.Time{}
	}
	e, at := q.Peek()
	q.Remove(e)
	return e, at
}

// At is when e is due, zero when it is in no queue.
func (q *Queue[K]) At(e *Entry[K]) time.Time {
	if e.index == 0 {
		return time.Time{}
	}
	return time.Unix(0, q.heap[e.index-1].at)
}

func (q *Queue[K]) place(i int, s slot[K]) {
	q.heap[i] = s
	s.entry.index = i + 1
}

func (q *Queue[K]) settle(i int) {
	if !q.down(i) {
		q.up(i)
	}
}

func (q *Queue[K]) up(i int) {
	s := q.heap[i]
	for i > 0 {
		parent := (i - 1) / 2
		if q.heap[parent].at <= s.at {
			break
		}
		q.place(i, q.heap[parent])
		i = parent
	}
	q.place(i, s)
}

// down reports whether the slot moved.
func (q *Queue[K]) down(i int) bool {
	s, from := q.heap[i], i
	for {
		child := 2*i + 1
		if child >= len(q.heap) {
			break
		}
		if right := child + 1; right < len(q.heap) && q.heap[right].at < q.heap[child].at {
			child = right
		}
		if s.at <= q.heap[child].at {
			break
		}
		q.place(i, q.heap[child])
		i = child
	}
	q.place(i, s)
	return i > from
}
