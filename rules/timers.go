package rules

import "time"

// timers is a heap of partitions by when they are due.
type timers []timer

type timer struct {
	at time.Time
	p  *part
}

func (a *timer) before(b *timer) bool {
	if c := a.at.Compare(b.at); c != 0 {
		return c < 0
	}
	return a.p.key < b.p.key
}

func (h *timers) push(t timer) {
	*h = append(*h, t)
	list := *h
	for i := len(list) - 1; i > 0; {
		up := (i - 1) / 2
		if !list[i].before(&list[up]) {
			return
		}
		list[i], list[up] = list[up], list[i]
		i = up
	}
}

// pop removes the first.
func (h *timers) pop() {
	list := *h
	end := len(list) - 1
	list[0], list[end] = list[end], timer{}
	list = list[:end]
	*h = list
	for i := 0; ; {
		first := i
		for down := 2*i + 1; down <= 2*i+2 && down < end; down++ {
			if list[down].before(&list[first]) {
				first = down
			}
		}
		if first == i {
			return
		}
		list[i], list[first] = list[first], list[i]
		i = first
	}
}

// set gives p a timer. One that was due before stays in the heap and is moved
// when it comes up, so that the heap does not grow with every event.
func (h *timers) set(p *part, at time.Time) {
	p.next = at
	if !at.IsZero() && (p.inHeap.IsZero() || at.Before(p.inHeap)) {
		p.inHeap = at
		h.push(timer{at, p})
	}
}

// clean drops and moves timers at the top that are not due when they say.
func (h *timers) clean() {
	for len(*h) > 0 {
		first := (*h)[0]
		p := first.p
		if first.at.Equal(p.inHeap) && p.inHeap.Equal(p.next) {
			return
		}
		h.pop()
		if first.at.Equal(p.inHeap) {
			p.inHeap = time.Time{}
			h.set(p, p.next)
		}
	}
}

// take removes the first timer and returns its partition.
func (h *timers) take() *part {
	p := (*h)[0].p
	h.pop()
	p.next, p.inHeap = time.Time{}, time.Time{}
	return p
}
