// Package storetest proves that a backend keeps the contract of core/store:
// one suite that every backend must pass whole.
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T, dir string) storetest.Backend { ... })
//	}
//
// A part of the suite starts the test binary a second time, has it write, and
// kills it in the middle.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Backend is every role of storage at once.
type Backend interface { //nolint:interfacebloat // the sum of the roles
	store.Ledger
	store.Log
	store.Catalog
	store.History
	store.RunLog
	store.Series
	store.Journal
	store.Trace
	store.Queue
	store.Modules
	store.Releases
	store.Values
	store.Recordings
	store.Sessions
	store.Secrets
	// Close ends the use of the backend. A second Close does nothing.
	Close() error
}

// Open opens the backend whose data is in dir, making it when there is none.
// It ends the test when it cannot.
type Open func(t *testing.T, dir string) Backend

// Run runs the whole suite against the backend that open opens.
func Run(t *testing.T, open Open) {
	t.Helper()
	if dir, child := childDir(); child {
		writeUntilKilled(t, open, dir)
		return
	}
	s := suite{open: open, root: t.Name()}
	for _, group := range []map[string]func(*testing.T){
		s.ledger(), s.catalog(), s.history(), s.series(), s.journal(), s.queue(), s.access(), s.modules(), s.crash(),
	} {
		for name, test := range group {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				test(t)
			})
		}
	}
}

type suite struct {
	open Open
	root string // name of the test that called Run
}

// fresh is an empty backend, closed at the end of the test.
func (s suite) fresh(t *testing.T) Backend {
	t.Helper()
	b, _ := s.freshIn(t)
	return b
}

func (s suite) freshIn(t *testing.T) (b Backend, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "data")
	return s.reopen(t, dir), dir
}

func (s suite) reopen(t *testing.T, dir string) Backend {
	t.Helper()
	b := s.open(t, dir)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // a constant instant

// minute is n minutes after the epoch of the tests.
func minute(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }

func assign(system, check string) core.Assignment {
	return core.Assignment{
		ID: core.AssignmentID(system, check), System: system, Check: check, Enabled: true,
		Policy:   core.Policy{Degraded: 1, Unhealthy: 2},
		Interval: core.Duration(time.Minute), StaleAfter: core.Duration(3 * time.Minute),
	}
}

// watch makes systems in the group prod, each with the checks http and tcp.
func watch(t *testing.T, b Backend, systems ...string) {
	t.Helper()
	var c core.Change
	for _, id := range systems {
		c.PutSystems = append(c.PutSystems, core.System{ID: id, Groups: []string{"prod"}})
		c.PutAssignments = append(c.PutAssignments, assign(id, "http"), assign(id, "tcp"))
	}
	configure(t, b, c, minute(0))
}

// configure applies c to whatever the catalog is.
func configure(t *testing.T, b Backend, c core.Change, now time.Time) {
	t.Helper()
	_, base, err := b.Objects(t.Context(), store.Systems)
	must(t, "read objects", err)
	_, err = b.Apply(t.Context(), store.Edit{Base: base, Systems: c, By: "test", Now: now})
	must(t, "apply", err)
}

func run(assignment string, at time.Time, o core.Outcome) *core.Run {
	r := &core.Run{Assignment: assignment, Due: at.Add(-2 * time.Second), Started: at.Add(-time.Second), Ended: at, Outcome: o, Latency: 12345678}
	if o != core.Pass {
		r.Why = core.Because("assert", "status is {status}", "status", "503")
		r.Summary = "503 in 12 ms"
	}
	return r
}

// record records one run and returns its id.
func record(t *testing.T, b Backend, assignment string, at time.Time, o core.Outcome) int64 {
	t.Helper()
	r := run(assignment, at, o)
	must(t, "record", b.Record(t.Context(), []*core.Run{r}))
	return r.ID
}

// log is all of the log.
func log(t *testing.T, b Backend) []core.Transition {
	t.Helper()
	all, err := b.After(t.Context(), 0, 1_000_000)
	must(t, "read log", err)
	for i, c := range all {
		if c.Seq != int64(i+1) {
			t.Fatalf("entry %d of the log has seq %d, want no gap", i+1, c.Seq)
		}
	}
	return all
}

// brief is transitions in short: what went where.
func brief(changes []core.Transition) []string {
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, fmt.Sprintf("%s %v>%v", c.Subject, c.From, c.To))
	}
	return out
}

func must(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s is\n%+v\nwant\n%+v", what, got, want)
	}
}

// within is a context that ends d later or with the test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
