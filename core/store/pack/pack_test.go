package pack_test

import (
	"fmt"
	"math"
	"reflect"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

var benchStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// packRun packs a run, with the names of its samples written out.
func packRun(run *core.Run) []byte {
	var full pack.Words
	names := make([]string, pack.MaxWords)
	for i := range names {
		names[i] = fmt.Sprintf("\x00%d", i)
	}
	full.Reset(names)
	return pack.Run(nil, run, &full)
}

func unpackRun(b []byte, ended time.Time) (core.Run, error) {
	run := core.Run{Ended: ended}
	err := pack.UnpackRun(b, &run, true, &pack.Words{})
	return run, err
}

// Whatever bytes are in the database, reading them ends, with a value or an
// error.
func FuzzUnpack(f *testing.F) {
	run := &core.Run{
		Ended: benchStart, Why: core.Because("a", "b"), Summary: "c",
		Samples: core.Samples{"x": 1.5, "y": "text", "z": benchStart, "w": []any{"json"}, "v": math.NaN()},
	}
	f.Add(packRun(run))
	f.Add(pack.Standing(nil, core.Standing{Health: core.Degraded, Since: benchStart, Why: core.Because("a", "b"), Tally: core.Tally{Fails: 3, FailBit: 7}}))
	f.Add([]byte{1, 8, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if run, err := unpackRun(b, benchStart); err == nil {
			again, err := unpackRun(packRun(&run), benchStart)
			if err != nil {
				t.Fatalf("a run that was read is written so that it cannot be: %v", err)
			}
			if len(again.Samples) != len(run.Samples) || again.Summary != run.Summary || again.Latency != run.Latency {
				t.Errorf("the run is %+v, want %+v", again, run)
			}
		}
		if s, err := pack.UnpackStanding(b); err == nil {
			again, err := pack.UnpackStanding(pack.Standing(nil, s))
			if err != nil || again.Tally != s.Tally || again.Health != s.Health || !again.Since.Equal(s.Since) {
				t.Errorf("the standing is %+v (%v), want %+v", again, err, s)
			}
		}
	})
}

func TestPackStanding(t *testing.T) {
	t.Parallel()
	for _, want := range []core.Standing{
		{},
		{
			Health: core.Stale, Since: benchStart.Add(1), Before: core.Unhealthy, LastRun: 1 << 40, LastAt: benchStart.Add(-time.Hour), LastWas: core.Error,
			Tally: core.Tally{Fails: math.MaxUint32, Bad: 2, Passes: 3, NotFail: 4, Seen: 64, FailBit: math.MaxUint64, WarnBit: 1},
			Why:   core.Because("a", "b {c}", "c", "d"), Problem: core.Because("e", "f"),
		},
	} {
		got, err := pack.UnpackStanding(pack.Standing(nil, want))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("standing comes back as %+v (%v), want %+v", got, err, want)
		}
	}
}

func TestUnpackRefuses(t *testing.T) {
	t.Parallel()
	whole := packRun(&core.Run{Ended: benchStart, Summary: "text", Samples: core.Samples{"x": 1.5}})
	if _, err := unpackRun(whole, benchStart); err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		if _, err := unpackRun(whole[:n], benchStart); err == nil {
			t.Errorf("the first %d bytes of %d are read as a run", n, len(whole))
		}
	}
	whole[0]++
	if _, err := unpackRun(whole, benchStart); err == nil {
		t.Error("a run of an unknown format is read")
	}
}
