package rules

import (
	"sync"
	"time"
)

// channels bounds what is sent to each channel at once, and stops sending to
// one that keeps failing. It is safe for concurrent use.
type channels struct {
	most  int           // at once, of one channel
	fails int           // in a row that open the circuit
	rest  time.Duration // for how long, doubled each time up to ten of it

	mu  sync.Mutex
	all map[string]*channel // guarded by mu
}

type channel struct {
	busy  int
	fails int
	opens int       // times the circuit opened in a row
	until time.Time // the circuit is open
	probe bool      // one is on its way after the circuit was open
}

func newChannels(most, fails int, rest time.Duration) *channels {
	return &channels{most: most, fails: fails, rest: rest, all: map[string]*channel{}}
}

// enter takes a place on a channel, or says when to ask again.
func (c *channels) enter(name string, now time.Time) (ok bool, again time.Time, why string) {
	if name == "" {
		return true, time.Time{}, ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.all[name]
	if ch == nil {
		ch = &channel{}
		c.all[name] = ch
	}
	switch {
	case now.Before(ch.until):
		return false, ch.until, "paused: " + name + " keeps failing, tried again at " + clock(ch.until)
	case ch.busy >= c.most, ch.probe:
		return false, now.Add(250 * time.Millisecond), "waits: " + name + " is busy"
	}
	ch.probe = ch.opens > 0
	ch.busy++
	return true, time.Time{}, ""
}

// leave gives the place back. Failed is about the channel: no answer, or one
// that says that it is not well.
func (c *channels) leave(name string, failed bool, now time.Time) {
	if name == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	ch := c.all[name]
	ch.busy--
	ch.probe = false
	if !failed {
		ch.fails, ch.opens, ch.until = 0, 0, time.Time{}
		if ch.busy == 0 {
			delete(c.all, name)
		}
		return
	}
	ch.fails++
	if ch.fails >= c.fails || ch.opens > 0 {
		ch.until = now.Add(c.rest * time.Duration(min(1<<min(ch.opens, 4), 10)))
		ch.opens++
		ch.fails = 0
	}
}

// open lists the channels whose circuit is open, and until when.
func (c *channels) open(now time.Time) map[string]time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]time.Time{}
	for name, ch := range c.all {
		if now.Before(ch.until) {
			out[name] = ch.until
		}
	}
	return out
}
