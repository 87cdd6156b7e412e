//nolint:thelper,gocognit // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) crash() map[string]func(*testing.T) {
	return map[string]func(*testing.T){"crash/kill and reopen": s.testKill}
}

// childVariable tells a process started by testKill where to write.
const childVariable = "TOCSIN_STORETEST_WRITES_TO"

func childDir() (string, bool) {
	return os.LookupEnv(childVariable) //nolint:forbidigo // a test talks to its own child
}

// acknowledged is what the child has been told is durable.
type acknowledged struct {
	batch int   // number of the newest batch of runs
	run   int64 // newest run
	turn  int   // number of the newest turn of the rules
}

// acceptance 5, as far as storage goes: kill -9 at random moments, several
// times over the same data, and look after each whether all that was
// acknowledged is there and nothing is there by half.
func (s suite) testKill(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir := filepath.Join(t.TempDir(), "data")
	var last acknowledged
	for round := range rounds {
		acked := s.killWriter(t, dir, last)
		if acked.batch == last.batch || acked.turn == last.turn {
			t.Fatalf("round %d acknowledged nothing after %+v", round, last)
		}
		b := s.open(t, dir)
		checkReplay(t, b)
		last = checkAcknowledged(t, b, acked)
		must(t, "close", b.Close())
		if t.Failed() {
			t.Fatalf("round %d: after %+v was acknowledged", round, acked)
		}
	}
	t.Logf("after %d kills: %d batches, %d runs, %d turns", rounds, last.batch, last.run, last.turn)
}

// killWriter starts a process that writes to dir, kills it after a while and
// returns what it was told.
func (s suite) killWriter(t *testing.T, dir string, from acknowledged) acknowledged {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+s.root+"$", "-test.timeout=60s") //nolint:gosec // this very binary
	command.Env = append(os.Environ(), childVariable+"="+dir)
	var trouble bytes.Buffer
	command.Stderr = &trouble
	out, err := command.StdoutPipe()
	must(t, "pipe", err)
	must(t, "start writer", command.Start())
	lines := bufio.NewScanner(out)
	acked := from
	var killed <-chan time.Time
	ended := make(chan struct{})
	first := make(chan struct{})
	go func() {
		defer close(ended)
		for started := false; lines.Scan(); {
			var now acknowledged
			if n, _ := fmt.Sscanf(lines.Text(), "acknowledged %d %d %d", &now.batch, &now.run, &now.turn); n != 3 {
				trouble.WriteString(lines.Text() + "\n")
				continue
			}
			if acked = now; !started {
				started = true
				close(first)
			}
		}
	}()
	select {
	case <-first:
		killed = time.After(time.Duration(rand.IntN(150)) * time.Millisecond) //nolint:gosec // any moment will do
	case <-ended:
	}
	select {
	case <-killed:
		must(t, "kill", command.Process.Kill())
		<-ended // what it said before it died counts
	case <-ended:
	}
	err = command.Wait()
	if state := command.ProcessState; state == nil || state.Exited() {
		t.Fatalf("the writer ended by itself (%v): %s", err, trouble.String())
	}
	return acked
}

// writeUntilKilled is the life of the child.
func writeUntilKilled(t *testing.T, open Open, dir string) {
	t.Helper()
	b := open(t, dir)
	const systems = 5
	if _, version, err := b.Objects(t.Context()); err != nil || version == 0 {
		must(t, "objects", err)
		ids := make([]string, 0, systems)
		for i := range systems {
			ids = append(ids, fmt.Sprintf("s%d", i))
		}
		watch(t, b, ids...)
	}
	last := checkAcknowledged(t, b, acknowledged{})
	for deadline := time.Now().Add(50 * time.Second); time.Now().Before(deadline); {
		last.batch++
		runs := make([]*core.Run, 1+last.batch%40)
		for i := range runs {
			assignment := core.AssignmentID(fmt.Sprintf("s%d", rand.IntN(systems)), []string{"http", "tcp"}[rand.IntN(2)]) //nolint:gosec // any will do
			runs[i] = run(assignment, minute(last.batch), core.Outcome(rand.IntN(4)))                                      //nolint:gosec // less than 4
			runs[i].Summary = fmt.Sprintf("batch %d of %d", last.batch, len(runs))
		}
		must(t, "record", b.Record(t.Context(), runs))
		last.run = runs[len(runs)-1].ID
		last.turn++
		must(t, "commit", b.Commit(t.Context(), store.Turn{
			Cursor: int64(last.turn), State: map[string][]byte{"turn": fmt.Append(nil, last.turn)},
			Firings: []core.Firing{func() core.Firing {
				f := firing(fmt.Sprintf("f%d", last.turn), "a", "b")
				f.Rule = "together"
				return f
			}()},
			Flow: inOrder,
		}))
		_, err := b.RollUp(t.Context(), minute(last.batch))
		must(t, "roll up", err)
		fmt.Fprintf(os.Stdout, "acknowledged %d %d %d\n", last.batch, last.run, last.turn)
	}
	t.Fatal("nobody killed the writer")
}

// checkAcknowledged proves that what was acknowledged is stored, and returns
// what is: the newest may have been stored without having been acknowledged.
func checkAcknowledged(t *testing.T, b Backend, acked acknowledged) acknowledged {
	t.Helper()
	var found acknowledged
	ran := map[string]int64{}
	count, sizes := map[int]int{}, map[int]int{}
	for {
		runs, _, err := b.RunsAfter(t.Context(), found.run, 1000)
		must(t, "runs", err)
		if len(runs) == 0 {
			break
		}
		for _, r := range runs {
			var batch, size int
			if _, err := fmt.Sscanf(r.Summary, "batch %d of %d", &batch, &size); err != nil {
				t.Fatalf("run %d says %q: %v", r.ID, r.Summary, err)
			}
			count[batch]++
			ran[r.Assignment]++
			sizes[batch] = size
			found.batch, found.run = max(found.batch, batch), r.ID
		}
	}
	for batch := 1; batch <= found.batch; batch++ {
		if count[batch] != sizes[batch] || count[batch] == 0 {
			t.Errorf("of batch %d there are %d runs of %d, want all", batch, count[batch], sizes[batch])
		}
	}
	for assignment, n := range ran { // each run is added up once, or not yet
		for _, points := range []int{1000, found.batch/60 + 1, 1} {
			c := chart(t, b, assignment, minute(0), minute(found.batch+1), points)
			got := int64(0)
			for _, outcome := range c.Whole().Runs {
				got += outcome
			}
			if got != n {
				t.Errorf("the chart of %s, of %s, has %d runs, want %d", assignment, c.Tier, got, n)
			}
		}
	}
	cursor, state, err := b.Load(t.Context())
	must(t, "load", err)
	if text := state["turn"]; text != nil {
		_, err = fmt.Sscan(string(text), &found.turn)
		must(t, "read turn", err)
	}
	if cursor != int64(found.turn) {
		t.Errorf("the cursor is %d and the state of turn %d", cursor, found.turn)
	}
	for turn := 1; turn <= found.turn; turn++ {
		if d, err := b.Deliveries(t.Context(), fmt.Sprintf("f%d", turn), nil, 10); err != nil || len(d) != 2 {
			t.Errorf("firing of turn %d has %d deliveries (%v), want 2", turn, len(d), err)
		}
	}
	if _, err := b.Firing(t.Context(), fmt.Sprintf("f%d", found.turn+1)); err == nil {
		t.Errorf("a firing of turn %d is there without its state", found.turn+1)
	}
	if found.batch < acked.batch || found.run < acked.run || found.turn < acked.turn {
		t.Errorf("stored is %+v, want at least what was acknowledged: %+v", found, acked)
	}
	return found
}
