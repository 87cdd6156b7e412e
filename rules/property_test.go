package rules_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// cases is how many stories the property tests of gates make up.
var cases = flag.Int("cases", 1000, "stories that each property test of gates makes up")

// happening is an event of a made-up story.
type happening struct {
	at      int // second
	matches bool
}

// naive is the flap gate as one would write it down: every second of the story
// is looked at, and nothing is ever forgotten. Events come in the order of their
// Seq, some of them late.
type naive struct {
	w             core.Window
	within, quiet int
	events        []happening // by Seq - 1
	newest        int         // how many of them have come
	clock         int
	open          bool
	since, opened int // the newest event when it closed last; the one that opened it
	last          int // when one matched last
	out           []string
}

// inside counts the matching events of the open stretch in the window that ends
// at the clock.
func (n *naive) inside() int {
	count := 0
	for seq := n.newest; seq > n.since; seq-- {
		e := n.events[seq-1]
		among := n.w.Of == 0 || n.newest-seq < n.w.Of
		young := n.within == 0 || e.at > n.clock-n.within
		if e.matches && among && young {
			count++
		}
	}
	return count
}

func (n *naive) fire(at, which int) {
	n.out = append(n.out, fmt.Sprintf("%s r~v~p~%d~%d", day.Add(time.Duration(at)*time.Second).Format("15:04:05"), n.opened, which))
}

func (n *naive) shut(at int) {
	n.open, n.since = false, n.newest
	n.fire(at, 0)
}

// pass lets time pass: what a second brings comes after its events. A late event
// may have opened what was quiet again long ago.
func (n *naive) pass(until int) {
	if over := n.last + n.quiet; n.open && n.quiet > 0 && over < min(n.clock, until) {
		n.shut(over)
	}
	for ; n.clock < until; n.clock++ {
		if n.open && (n.inside() <= n.w.Exit || n.quiet > 0 && n.clock >= n.last+n.quiet) {
			n.shut(n.clock)
		}
	}
}

// event takes the next event.
func (n *naive) event() {
	e := n.events[n.newest]
	n.pass(e.at)
	n.newest++
	// One that is too old counts for nothing, whatever it could have done.
	old := n.within > 0 && e.at <= n.clock-n.within
	if e.matches && !old {
		n.last = max(n.last, e.at)
	}
	switch {
	case !n.open && e.matches && !old && n.inside() >= n.w.Count:
		n.open, n.opened = true, n.newest
		n.fire(e.at, 1)
	case n.open && n.w.Of > 0 && (!e.matches || old) && n.inside() <= n.w.Exit:
		n.shut(e.at) // it pushed the last one out
	}
}

// acceptance 24: any permutation of duplicates, restarts and late events gives
// what the naive model gives.
func TestFlapGateEqualsTheNaiveModel(t *testing.T) {
	t.Parallel()
	fires := 0
	for c := range *cases {
		r := rand.New(rand.NewPCG(uint64(c), 7))
		w := core.Window{Count: 1 + r.IntN(5)}
		kind := r.IntN(3) // within, of, both
		if kind != 1 {
			w.Within = core.Duration(time.Duration(5+r.IntN(40)) * time.Second)
		}
		if kind > 0 {
			w.Of = w.Count + r.IntN(8)
		}
		w.Exit = r.IntN(w.Count)
		if kind != 1 || r.IntN(2) == 0 {
			w.Quiet = core.Duration(time.Duration(3+r.IntN(60)) * time.Second)
		}
		n := &naive{w: w, within: int(w.Within.Std() / time.Second), quiet: int(w.Quiet.Std() / time.Second)}
		at := 0
		for range 1 + r.IntN(30) {
			at += r.IntN(12) * r.IntN(3)
			e := happening{at: at, matches: kind == 0 || r.IntN(2) == 0}
			if r.IntN(8) == 0 {
				e.at = max(0, at-r.IntN(60)) // it comes late
			}
			n.events = append(n.events, e)
		}
		end := at + 120
		got, script := playFlap(t, r, w, n.events, end)
		for range n.events {
			n.event()
		}
		n.pass(end + 1)
		fires += len(n.out)
		if !slices.Equal(got, n.out) {
			t.Fatalf("case %d, window %+v\nscript %s\ngot  %q\nwant %q", c, w, script, got, n.out)
		}
	}
	t.Logf("%d cases, %d messages", *cases, fires)
}

// playFlap delivers the events in order, each followed by copies of any before
// it, with restarts in between.
func playFlap(t *testing.T, r *rand.Rand, w core.Window, events []happening, end int) (got []string, script string) {
	t.Helper()
	f := rules.NewFlap(w)
	var b strings.Builder
	deliver := func(seq int) {
		e := events[seq-1]
		fmt.Fprintf(&b, "%d@%d %v ", seq, e.at, e.matches)
		got = append(got, f.Event(int64(seq), day.Add(time.Duration(e.at)*time.Second), e.matches)...)
	}
	for seq := 1; seq <= len(events); seq++ {
		deliver(seq)
		for r.IntN(3) == 0 {
			deliver(1 + r.IntN(seq))
		}
		if r.IntN(4) == 0 {
			b.WriteString("restart ")
			if err := f.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		if most := 2*max(w.Count, w.Exit+1) + w.Of; f.Size() > most {
			t.Fatalf("remembers %d events, at most %d are needed", f.Size(), most)
		}
	}
	return append(got, f.Until(day.Add(time.Duration(end)*time.Second))...), b.String()
}
