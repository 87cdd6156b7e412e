package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/rules"
)

// naive is the flap gate as one would write it down: every second of the story
// is looked at, and nothing is ever forgotten.
func naive(w core.Window, events map[int64]int, end int) []string {
	within, quiet := int(w.Within.Std()/time.Second), int(w.Quiet.Std()/time.Second)
	seqs := make([]int64, 0, len(events))
	for seq := range events {
		seqs = append(seqs, seq)
	}
	slices.Sort(seqs)
	var out []string
	open, since, opened, last := false, -1, int64(0), 0
	fire := func(at, n int) {
		out = append(out, fmt.Sprintf("%s r~v~p~%d~%d", day.Add(time.Duration(at)*time.Second).Format("15:04:05"), opened, n))
	}
	for now := range end + 1 {
		inside := func(upTo int64) int { // events that count now, of the open stretch
			n := 0
			for _, seq := range seqs {
				if at := events[seq]; seq > int64(since) && seq <= upTo && at <= now && at > now-within {
					n++
				}
			}
			return n
		}
		// Events of this second come first, in order; then what time does.
		newest := int64(-1)
		for _, seq := range seqs {
			if events[seq] > now {
				break
			}
			newest = seq
			if events[seq] != now {
				continue
			}
			last = now
			if !open && inside(seq) >= w.Count {
				open, opened = true, seq
				fire(now, 1)
			}
		}
		if open && (inside(newest) <= w.Exit || now >= last+quiet) {
			open, since = false, int(newest)
			fire(now, 0)
		}
	}
	return out
}

// acceptance 24: any permutation of duplicates and restarts gives what the
// naive model gives.
func TestFlapGateEqualsTheNaiveModel(t *testing.T) {
	t.Parallel()
	const cases = 10_000
	fires := 0
	for c := range cases {
		r := rand.New(rand.NewPCG(uint64(c), 7))
		w := core.Window{Count: 1 + r.IntN(5), Within: core.Duration(time.Duration(5+r.IntN(40)) * time.Second)}
		w.Exit = r.IntN(w.Count)
		w.Quiet = core.Duration(time.Duration(3+r.IntN(60)) * time.Second)
		events := map[int64]int{}
		at, end := 0, 0
		for seq := range int64(1 + r.IntN(30)) {
			at += r.IntN(12) * r.IntN(3)
			events[seq+1], end = at, at+120
		}
		want := naive(w, events, end)
		got, script := playFlap(t, r, w, events, end)
		fires += len(want)
		if !slices.Equal(got, want) {
			t.Fatalf("case %d, window %+v\nscript %s\ngot  %q\nwant %q", c, w, script, got, want)
		}
	}
	t.Logf("%d cases, %d messages", cases, fires)
}

// playFlap delivers the events in order, each followed by copies of any before
// it, with restarts in between.
func playFlap(t *testing.T, r *rand.Rand, w core.Window, events map[int64]int, end int) (got []string, script string) {
	t.Helper()
	f := rules.NewFlap(w)
	var b strings.Builder
	deliver := func(seq int64) {
		fmt.Fprintf(&b, "%d@%d ", seq, events[seq])
		got = append(got, f.Event(seq, day.Add(time.Duration(events[seq])*time.Second))...)
	}
	for seq := int64(1); seq <= int64(len(events)); seq++ {
		deliver(seq)
		for r.IntN(3) == 0 {
			deliver(1 + r.Int64N(seq))
		}
		if r.IntN(4) == 0 {
			b.WriteString("restart ")
			if err := f.Restart(); err != nil {
				t.Fatal(err)
			}
		}
		if most := 2 * max(w.Count, w.Exit+1); f.Size() > most {
			t.Fatalf("remembers %d events, at most %d are needed", f.Size(), most)
		}
	}
	return append(got, f.Until(day.Add(time.Duration(end)*time.Second))...), b.String()
}
