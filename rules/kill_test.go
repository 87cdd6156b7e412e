package rules_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
	"github.com/tocsin-io/tocsin/rules"
)

var killAll = flag.Bool("kill-all", false, "kill a firing at each boundary of each of its steps, and not at a few")

// Variables of a child: at which boundary it kills itself (0: never), its
// database and where its webhooks go.
const killAt, killStore, killHook = "TOCSIN_TEST_KILL_AT", "TOCSIN_TEST_KILL_STORE", "TOCSIN_TEST_KILL_HOOK"

// A process is killed at a boundary of a step: before or after a firing is
// committed, a step is claimed or its result is stored. The next process brings
// the firing to its end: nothing is left out, nothing is done in another order,
// and what is sent again has the key and the body that it had.
//
// acceptance 28, 32, 35.
func TestKilledAtABoundary(t *testing.T) { //nolint:tparallel // a child is that test too, and alone
	if os.Getenv(killStore) != "" { //nolint:forbidigo // a test talks to its own child
		untilKilled(t)
		return
	}
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		killRounds(t, func(int) string { return t.TempDir() })
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		pg, err := pgtest.Start(pgtest.Options{})
		if err != nil {
			pgtest.Skip(t, err)
		}
		t.Cleanup(func() {
			if err := pg.Stop(); err != nil {
				t.Error(err)
			}
		})
		killRounds(t, func(round int) string {
			name := fmt.Sprintf("round%d", round)
			if err := pg.Create(name); err != nil {
				t.Fatal(err)
			}
			return pg.URL(name)
		})
	})
}

// killRounds kills at one boundary after another, each in a database of its own.
func killRounds(t *testing.T, database func(round int) string) {
	t.Helper()
	const few = 18 // boundaries between those that are tried
	total := killRound(t, database(0), 0)
	step := few
	if *killAll {
		step = 1
	}
	for at := 1 + total%step; at <= total; at += step {
		killRound(t, database(at), at)
	}
	t.Logf("killed at every %d. of %d boundaries", step, total)
}

// killRound kills one firing at a boundary, lets it end, and returns how many
// boundaries the process that ended it passed.
func killRound(t *testing.T, database string, at int) int {
	t.Helper()
	hook := &receiver{}
	hook.Server = httptest.NewServer(http.HandlerFunc(hook.serve))
	defer hook.Close()
	passed := 0
	for _, kill := range []int{at, 0} {
		command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledAtABoundary$", "-test.timeout=2m")
		command.Env = append(os.Environ(), killStore+"="+database, killHook+"="+hook.URL, killAt+"="+strconv.Itoa(kill))
		out, err := command.CombinedOutput()
		if kill == 0 && err != nil {
			t.Fatalf("boundary %d: the process after the kill: %v\n%s", at, err, out)
		}
		for line := range strings.SplitSeq(string(out), "\n") {
			if _, err := fmt.Sscanf(line, "passed %d boundaries", &passed); err == nil {
				break
			}
		}
		if at == 0 {
			break
		}
	}
	checkHooks(t, at, hook.list())
	return passed
}

// checkHooks holds what was received to the order of the rule of the child.
func checkHooks(t *testing.T, at int, got []received) {
	t.Helper()
	var order []string
	first := map[string]received{}
	for _, r := range got {
		was, again := first[r.path+r.key]
		if again && was.body != r.body {
			t.Errorf("boundary %d: %s was sent as %q and again as %q", at, r.path, was.body, r.body)
		}
		if !again {
			first[r.path+r.key] = r
			order = append(order, r.path+" "+r.body)
		}
	}
	if len(order) > 2 {
		slices.Sort(order[:2]) // the branches
	}
	want := []string{"/left unhealthy", "/right unhealthy", "/after met", "/time 0", "/time 1", "/end 3"}
	if !slices.Equal(order, want) {
		t.Errorf("boundary %d: sent %q, want %q", at, order, want)
	}
	if twice := len(got) - len(order); twice > 2 || at == 0 && twice > 0 {
		t.Errorf("boundary %d: %d were sent again, want what was under way", at, twice)
	}
}

// untilKilled is the life of a child: it makes a system fail, carries the steps
// out, and lets the system recover when a step waits for that.
func untilKilled(t *testing.T) {
	t.Helper()
	at, err := strconv.Atoi(os.Getenv(killAt)) //nolint:forbidigo // a test talks to its own child
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, store: openChild(t, os.Getenv(killStore))} //nolint:forbidigo // a test talks to its own child
	t.Cleanup(func() { _ = s.store.Close() })
	url := os.Getenv(killHook) //nolint:forbidigo // a test talks to its own child
	hook := func(id, body string) core.Step { return webhook(id, url+"/"+id, body) }
	if objects, _, err := s.store.Objects(t.Context(), store.Rules); err != nil || len(objects) == 0 {
		s.apply(1, page(
			core.Step{Let: map[string]string{"n": "1 + 2"}},
			core.Step{Parallel: [][]core.Step{{hook("left", "${to}")}, {{Delay: 1}, hook("right", "${to}")}}},
			core.Step{ID: "quiet", Wait: &core.Wait{Until: `health == "healthy"`, Timeout: core.Duration(time.Hour)}},
			core.Step{If: `steps.quiet.outcome == "met"`, Then: []core.Step{hook("after", "${steps.quiet.outcome}")}, Else: []core.Step{hook("never", "x")}},
			core.Step{Repeat: &core.Repeat{Until: "repeat.index == 1", Do: []core.Step{hook("time", "${repeat.index}")}}},
			hook("end", "${vars.n}"),
			core.Step{Stop: &core.Stop{}},
			hook("never_either", "x"),
		))
	}
	var passed atomic.Int64
	count := func(op string) error {
		if op != "look" && op != "commit" && passed.Add(1) == int64(at) {
			self, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = self.Kill()
			}
			t.Fatal("killing this process", err)
		}
		return nil
	}
	s.start(&faults{before: count, after: count}, rules.DeliveryOptions{Lease: 300 * time.Millisecond})
	if firings, err := s.store.Firings(t.Context(), store.FiringQuery{}); err != nil || len(firings) == 0 {
		s.record(core.Fail, 0)
	}
	eventually(t, "the end of the firing", func() bool {
		list, err := s.store.Deliveries(t.Context(), "", []core.DeliveryStatus{core.DeliveryWaiting}, 10)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(d core.Delivery) bool { return d.Kind == "wait" && json.Valid(d.Output) }) {
			s.record(core.Pass, 0)
		}
		firings, err := s.store.Firings(t.Context(), store.FiringQuery{Limit: 1000})
		if err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(firings, func(f core.Firing) bool { return f.N == 1 && f.Status == core.FiringDone })
	})
	fmt.Fprintf(os.Stdout, "passed %d boundaries\n", passed.Load())
}

func openChild(t *testing.T, database string) backend {
	t.Helper()
	if strings.HasPrefix(database, "postgres://") {
		s, err := postgres.Open(t.Context(), database, postgres.Options{Node: "child"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s, err := sqlite.Open(t.Context(), database, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
