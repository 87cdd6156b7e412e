//nolint:thelper,gocognit // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
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

// NodesBackend is a Backend that several processes can use at once.
type NodesBackend interface {
	Backend
	store.Nodes
	store.Peers
}

// OpenNode opens the backend whose data is in dir as the node of that name,
// which others may do at the same time. Leases should last for a second or two.
type OpenNode func(t *testing.T, dir, node string) NodesBackend

// nodeVariable names a process started by RunNodes.
const nodeVariable = "TOCSIN_STORETEST_NODE"

// RunNodes proves that a backend shares its work among processes as
// [store.Nodes] promises.
func RunNodes(t *testing.T, open OpenNode) {
	t.Helper()
	if dir, child := childDir(); child {
		node, _ := os.LookupEnv(nodeVariable) //nolint:forbidigo // a test talks to its own child
		writeAsNode(t, open, dir, node)
		return
	}
	n := nodes{open: open, root: t.Name()}
	for name, test := range map[string]func(*testing.T){
		"share": n.testShare, "fence": n.testFence, "rules": n.testRules, "edits": n.testEdits, "names": n.testNames, "peers": n.testPeers, "processes": n.testProcesses,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

type nodes struct {
	open OpenNode
	root string // name of the test that called RunNodes
}

func (n nodes) reopen(t *testing.T, dir, node string) NodesBackend {
	t.Helper()
	b := n.open(t, dir, node)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close %s: %v", node, err)
		}
	})
	return b
}

// until waits until the share of b is as it should be.
func until(t *testing.T, b NodesBackend, what string, ok func(store.Share) bool) store.Share {
	t.Helper()
	ctx := within(t, time.Minute)
	for version := int64(-1); ; {
		s, err := b.Share(ctx, version)
		if err != nil {
			t.Fatalf("wait until %s: %v; the share is of %d shards", what, err, held(s))
		}
		if ok(s) {
			return s
		}
		version = s.Version
	}
}

func held(s store.Share) int {
	n := 0
	for _, epoch := range s.Shards {
		if epoch != 0 {
			n++
		}
	}
	return n
}

func whole(s store.Share) bool { return held(s) == core.Shards && s.Rules }

func part(s store.Share) bool { return held(s) > 0 && held(s) < core.Shards }

// Who comes gets a part, who goes gives it back at once, and each shard is at
// one node at most.
func (n nodes) testShare(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a := n.reopen(t, dir, "a")
	until(t, a, "the first node holds all", whole)
	b := n.reopen(t, dir, "b")
	until(t, b, "the second node gets a part", part)
	until(t, a, "the first node has let go of a part", part)
	list, err := a.Nodes(t.Context())
	must(t, "nodes", err)
	owner := map[int]string{}
	for _, node := range list {
		if !node.Alive || node.Here != (node.Name == "a") {
			t.Errorf("a says of the nodes %+v, want both alive, and itself here", list)
		}
		for _, shard := range node.Shards {
			if owner[shard] != "" {
				t.Errorf("shard %d is at %s and %s", shard, owner[shard], node.Name)
			}
			owner[shard] = node.Name
		}
	}
	if len(list) != 2 || list[0].Rules == list[1].Rules {
		t.Errorf("the nodes are %+v, want two of which one has the rules", list)
	}
	must(t, "report", b.Report(t.Context(), core.NodeReport{Version: "v1", Tasks: 7}))
	list, err = a.Nodes(t.Context())
	must(t, "nodes", err)
	if got := list[1].Report; got.Version != "v1" || got.Tasks != 7 {
		t.Errorf("b reports %+v, want what it said", got)
	}
	if off := time.Since(a.Now()).Abs(); off > time.Minute {
		t.Errorf("the clock of the database is %v off on one machine", off)
	}
	if got := b.Tenure(); time.Since(got.Renewed).Abs() > time.Minute || got.TakeOver != 0 {
		t.Errorf("the leases are %+v, want renewed and nothing taken over: all was free or given", got)
	}
	must(t, "leave", a.Leave(t.Context()))
	if s, err := a.Share(t.Context(), -1); err != nil || held(s) != 0 || s.Rules {
		t.Errorf("after leaving the share is of %d shards (%v), want none", held(s), err)
	}
	until(t, b, "the node that stays holds all", whole)
	must(t, "close", a.Close())
	list, err = b.Nodes(t.Context())
	must(t, "nodes", err)
	if len(list) != 1 || list[0].Name != "b" {
		t.Errorf("the nodes are %+v, want the one that stays", list)
	}
}

// split opens two nodes that share four hundred systems, and returns a system of
// each.
func (n nodes) split(t *testing.T) (a, b NodesBackend, ofA, ofB string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	a = n.reopen(t, dir, "a")
	var ids []string
	for i := range 400 {
		ids = append(ids, fmt.Sprintf("s%d", i))
	}
	watch(t, a, ids...)
	b = n.reopen(t, dir, "b")
	shareB := until(t, b, "the second node gets a part", part)
	until(t, a, "the first node has let go of it", func(s store.Share) bool { return held(s)+held(shareB) <= core.Shards })
	for _, id := range ids {
		if shareB.Shards[core.ShardOf(id)] != 0 {
			ofB = id
		} else {
			ofA = id
		}
	}
	return a, b, ofA, ofB
}

// A run is stored by the one who has its shard, and the log goes on without a
// gap whoever writes. What a node kept in memory of a shard is not used when it
// gets it back.
//
// acceptance 4, 13.
func (n nodes) testFence(t *testing.T) {
	a, b, ofA, ofB := n.split(t)
	for i, by := range []NodesBackend{a, b, a, b} {
		runs := []*core.Run{run(ofA+":http", minute(i), core.Fail), run(ofB+":http", minute(i), core.Fail)}
		must(t, "record", by.Record(t.Context(), runs))
		if mine := i % 2; runs[mine].ID == 0 || runs[1-mine].ID != 0 {
			t.Errorf("round %d: ids are %d and %d, want that only the run of the node's own shard is stored", i, runs[0].ID, runs[1].ID)
		}
	}
	equal(t, "the log", brief(log(t, a))[0:8], []string{
		"assignment/" + ofA + ":http unknown>degraded", "system/" + ofA + " unknown>degraded", "group/prod unknown>degraded",
		"assignment/" + ofB + ":http unknown>degraded", "system/" + ofB + " unknown>degraded",
		"assignment/" + ofA + ":http degraded>unhealthy", "system/" + ofA + " degraded>unhealthy", "group/prod degraded>unhealthy",
	})
	checkReplay(t, b)
	must(t, "expire what is another's", a.Expire(t.Context(), []string{ofB + ":http"}, minute(100)))
	if got, err := a.Standing(t.Context(), ofB+":http"); err != nil || got.Health != core.Unhealthy {
		t.Errorf("the standing of another's shard is %v (%v), want that it is not expired", got.Health, err)
	}
	must(t, "leave", b.Leave(t.Context()))
	until(t, a, "the first node holds all again", whole)
	record(t, a, ofB+":http", minute(10), core.Pass)
	checkReplay(t, a)

	// What began under an earlier lease is old, although the shard has come back.
	now, err := a.Share(t.Context(), -1)
	must(t, "share", err)
	epoch := now.Epoch(ofB + ":http")
	late, fresh := run(ofB+":http", minute(11), core.Fail), run(ofB+":http", minute(12), core.Pass)
	late.Epoch, fresh.Epoch = epoch-2, epoch
	must(t, "record", a.Record(t.Context(), []*core.Run{late, fresh}))
	if late.ID != 0 || fresh.ID == 0 {
		t.Errorf("a run of an earlier lease has id %d and one of this lease %d, want that the first is dropped", late.ID, fresh.ID)
	}
}

// The rules are at one node, and a turn of the other one is refused; so is one
// that was decided before the rules were elsewhere in the meantime.
func (n nodes) testRules(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	a := n.reopen(t, dir, "a")
	_, _, err := a.Load(t.Context())
	must(t, "load", err)
	must(t, "commit", a.Commit(t.Context(), store.Turn{Cursor: 1}))
	b := n.reopen(t, dir, "b")
	_, _, err = b.Load(t.Context())
	must(t, "load to look", err)
	wantError(t, "commit of who has not the rules", b.Commit(t.Context(), store.Turn{Cursor: 2}), store.ErrFenced)
	must(t, "leave", a.Leave(t.Context()))
	until(t, b, "the second node gets the rules", func(s store.Share) bool { return s.Rules })
	wantError(t, "commit of who had the rules", a.Commit(t.Context(), store.Turn{Cursor: 2}), store.ErrFenced)
	wantError(t, "commit without having loaded", b.Commit(t.Context(), store.Turn{Cursor: 2}), store.ErrFenced)
	cursor, _, err := b.Load(t.Context())
	must(t, "load", err)
	if cursor != 1 {
		t.Errorf("the cursor is %d, want 1: what was refused has left nothing", cursor)
	}
	must(t, "commit", b.Commit(t.Context(), store.Turn{Cursor: 3}))
}

// Edits of one node reach the others, with everything that follows from them.
func (n nodes) testEdits(t *testing.T) {
	a, b, ofA, ofB := n.split(t)
	for i := range 3 {
		record(t, a, ofA+":http", minute(i), core.Fail)
		record(t, b, ofB+":http", minute(i), core.Fail)
	}
	// a changes the policy of a check of b's, so that it is well enough.
	lax := assign(ofB, "http")
	lax.Policy = core.Policy{Degraded: 3, Unhealthy: 9}
	configure(t, a, core.Change{PutAssignments: []core.Assignment{lax}}, minute(4))
	if got, err := b.Standing(t.Context(), ofB+":http"); err != nil || got.Health != core.Degraded {
		t.Errorf("after the edit it is %v (%v), want degraded", got.Health, err)
	}
	record(t, b, ofB+":http", minute(5), core.Fail) // b goes on from there
	if got, err := a.Standing(t.Context(), ofB+":http"); err != nil || got.Health != core.Degraded {
		t.Errorf("after another run it is %v (%v), want degraded: the new policy", got.Health, err)
	}
	// b deletes a system of a's and adds one that is a's.
	added := ""
	share := until(t, a, "it has its part", part)
	for i := 400; added == ""; i++ {
		if id := fmt.Sprintf("s%d", i); share.Shards[core.ShardOf(id)] != 0 {
			added = id
		}
	}
	configure(t, b, core.Change{
		DeleteSystems: []string{ofA}, PutSystems: []core.System{{ID: added, Groups: []string{"prod"}}},
		PutAssignments: []core.Assignment{assign(added, "http")},
	}, minute(6))
	gone := run(ofA+":http", minute(7), core.Fail)
	must(t, "record", a.Record(t.Context(), []*core.Run{gone}))
	if gone.ID != 0 {
		t.Errorf("a run of a deleted system has id %d, want that it is dropped", gone.ID)
	}
	if id := record(t, a, added+":http", minute(7), core.Pass); id == 0 {
		t.Error("a run of the new system is dropped")
	}
	health := map[core.Subject]core.Health{}
	for _, c := range log(t, b) {
		if health[c.Subject] != c.From {
			t.Errorf("seq %d takes %v from %v, which was %v", c.Seq, c.Subject, c.From, health[c.Subject])
		}
		health[c.Subject] = c.To
	}
	rolled := rolledBySubject(t, a)
	if got := rolled["group/prod"]; got.Health != core.Degraded || got.TotalChecks != 399*2+1 {
		t.Errorf("the group is %v of %d checks, want degraded of %d", got.Health, got.TotalChecks, 399*2+1)
	}
	if _, there := rolled["system/"+ofA]; there {
		t.Error("the deleted system still has health")
	}
	// An edit from an old version is refused whoever made the one before.
	_, err := a.Apply(t.Context(), store.Edit{Base: 1, Now: minute(8)})
	wantError(t, "an edit from an old version", err, store.ErrConflict)
}

// One node reads what another has written, with names of samples that it has
// never seen.
func (n nodes) testNames(t *testing.T) {
	a, b, ofA, ofB := n.split(t)
	for i, by := range []NodesBackend{a, b, a} {
		r := run([]string{ofA, ofB}[i%2]+":http", minute(i), core.Fail)
		r.Samples = core.Samples{fmt.Sprintf("name-%d", i): int64(i)}
		must(t, "record", by.Record(t.Context(), []*core.Run{r}))
		for _, reader := range []NodesBackend{a, b} {
			got, err := reader.Run(t.Context(), r.ID)
			must(t, "run", err)
			equal(t, "samples", got.Samples, r.Samples)
		}
	}
}

// A run that is asked for at one node is carried out by the one that holds it,
// and what is neither in the log nor in the catalog is told of.
func (n nodes) testPeers(t *testing.T) {
	a, b, _, ofB := n.split(t)
	ctx := within(t, time.Minute)
	version, err := b.Shelf(ctx, -1)
	must(t, "shelf", err)
	moved := make(chan error, 1)
	go func() {
		_, err := b.Shelf(ctx, version)
		moved <- err
	}()
	must(t, "put a secret", a.PutSecret(ctx, "s", []byte("sealed"), "test", minute(0)))
	must(t, "told of a secret", <-moved)
	answered := make(chan string, 1)
	go func() {
		answer, err := a.AskRun(ctx, ofB+":http")
		if err != nil {
			t.Errorf("ask: %v", err)
		}
		answered <- answer
	}()
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if asked, err := a.Asked(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the node that asked is asked %v (%v), want nothing", asked, err)
	}
	asked, err := b.Asked(ctx)
	if err != nil || len(asked) != 1 || asked[0].Assignment != ofB+":http" {
		t.Fatalf("asked is %v (%v), want the one run", asked, err)
	}
	must(t, "answer", b.Answer(ctx, asked[0].ID, "busy"))
	if answer := <-answered; answer != "busy" {
		t.Errorf("the answer is %q, want what the other one said", answer)
	}
}

// Three processes record runs of whatever shards they hold. Again and again one
// is killed and another one comes in its place. Each due time is recorded once
// at most, what was acknowledged is there, Seq has no gap, and the log is what
// the runs give.
//
// acceptance 4, 5, 13.
func (n nodes) testProcesses(t *testing.T) {
	rounds := 6
	if testing.Short() {
		rounds = 2
	}
	dir := filepath.Join(t.TempDir(), "data")
	b := n.reopen(t, dir, "watcher") // it only watches, once there are others
	var ids []string
	for i := range 40 {
		ids = append(ids, fmt.Sprintf("s%d", i))
	}
	watch(t, b, ids...)
	must(t, "leave", b.Leave(t.Context()))
	var writers []*writer
	for i := range 3 {
		writers = append(writers, n.start(t, dir, fmt.Sprintf("node-%d", i)))
	}
	acked := map[string]int64{}
	for round := range rounds {
		i := rand.IntN(len(writers)) //nolint:gosec // any will do
		writers[i].after(t, 5)
		writers[i].kill(t, acked)
		name := writers[i].name
		if round%2 == 0 {
			name = fmt.Sprintf("node-%d", 3+round) // the other half comes back under the name of the dead one
		}
		writers[i] = n.start(t, dir, name)
	}
	for _, w := range writers {
		w.after(t, 5)
	}
	for _, w := range writers {
		w.kill(t, acked)
	}
	if t.Failed() {
		return
	}
	checkReplay(t, b)
	type due struct {
		assignment string
		at         int64
	}
	seen := map[due]int64{}
	for after := int64(0); ; {
		runs, _, err := b.RunsAfter(t.Context(), after, 1000)
		must(t, "runs", err)
		if len(runs) == 0 {
			break
		}
		for i := range runs {
			r := &runs[i]
			d := due{r.Assignment, r.Due.UnixNano()}
			if seen[d] != 0 {
				t.Errorf("the due time %v of %s is recorded by run %d and run %d", r.Due, r.Assignment, seen[d], r.ID)
			}
			seen[d], after = r.ID, r.ID
		}
	}
	for what, id := range acked {
		run, err := b.Run(t.Context(), id)
		if err != nil || run.Summary != what {
			t.Errorf("run %d was acknowledged as %q, and is stored as %q (%v)", id, what, run.Summary, err)
		}
	}
	t.Logf("%d runs of %d processes, of which %d were killed at once and %d at the end; %d were acknowledged", len(seen), 3+rounds, rounds, 3, len(acked))
}

// writer is a process that records runs.
type writer struct {
	name    string
	cmd     *exec.Cmd
	trouble bytes.Buffer
	acked   chan string // lines; closed at its end
	said    []string
}

func (n nodes) start(t *testing.T, dir, name string) *writer {
	t.Helper()
	w := &writer{name: name, acked: make(chan string, 100_000)}
	w.cmd = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+n.root+"$", "-test.timeout=5m") //nolint:gosec // this very binary
	w.cmd.Env = append(os.Environ(), childVariable+"="+dir, nodeVariable+"="+name)
	w.cmd.Stderr = &w.trouble
	out, err := w.cmd.StdoutPipe()
	must(t, "pipe", err)
	must(t, "start writer", w.cmd.Start())
	go func() {
		defer close(w.acked)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			w.acked <- lines.Text()
		}
	}()
	return w
}

// after waits until the writer has said that many things.
func (w *writer) after(t *testing.T, lines int) {
	t.Helper()
	for timeout := time.After(2 * time.Minute); len(w.said) < lines; {
		select {
		case line, ok := <-w.acked:
			if !ok {
				t.Fatalf("%s ended by itself: %v\n%s\n%s", w.name, w.cmd.Wait(), w.said, w.trouble.String())
			}
			w.said = append(w.said, line)
		case <-timeout:
			t.Fatalf("%s has recorded next to nothing in two minutes: %v", w.name, w.said)
		}
	}
}

// kill ends the writer at once, and notes what was acknowledged to it.
func (w *writer) kill(t *testing.T, acked map[string]int64) {
	t.Helper()
	must(t, "kill", w.cmd.Process.Kill())
	for line := range w.acked { // what it said before it died counts
		w.said = append(w.said, line)
	}
	_ = w.cmd.Wait() // it was killed
	for _, line := range w.said {
		var id int64
		var what string
		if n, _ := fmt.Sscanf(line, "acknowledged %d %q", &id, &what); n == 2 {
			acked[what] = id
		}
	}
}

// writeAsNode is the life of such a process: each due time, a hundredth of a
// second from the one before, it records a run of each assignment that it
// believes to be its own.
func writeAsNode(t *testing.T, open OpenNode, dir, node string) {
	t.Helper()
	b := open(t, dir, node)
	var assignments []core.Assignment
	for late := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var err error
		if assignments, err = b.Assignments(t.Context()); err == nil {
			break
		}
		if fmt.Fprintln(os.Stderr, err); time.Now().After(late) { // others may have taken this one for dead
			t.Fatal(err)
		}
	}
	last := time.Now()
	for deadline := time.Now().Add(4 * time.Minute); time.Now().Before(deadline); {
		share, err := b.Share(t.Context(), -1)
		must(t, "share", err)
		due := time.Now().Truncate(10 * time.Millisecond)
		if !due.After(last) {
			time.Sleep(time.Millisecond)
			continue
		}
		last = due
		var runs []*core.Run
		for _, a := range assignments {
			if !share.Holds(a.ID) {
				continue
			}
			r := run(a.ID, due.Add(2*time.Second).UTC(), core.Outcome(rand.IntN(4))) //nolint:gosec // less than 4
			r.Summary = fmt.Sprintf("%s by %s at %d", a.ID, node, due.UnixNano())
			r.Epoch = share.Epoch(a.ID)
			runs = append(runs, r)
		}
		if len(runs) == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for err = b.Record(ctx, runs); err != nil && ctx.Err() == nil; err = b.Record(ctx, runs) {
			fmt.Fprintln(os.Stderr, err) // others may have taken this one for dead: it goes on
			time.Sleep(20 * time.Millisecond)
		}
		cancel()
		if err != nil && !errors.Is(err, context.Canceled) {
			must(t, "record", err)
		}
		for _, r := range runs {
			if r.ID != 0 {
				fmt.Fprintf(os.Stdout, "acknowledged %d %q\n", r.ID, r.Summary)
			}
		}
	}
	t.Fatal("nobody killed the writer")
}
