package main_test

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
	"github.com/tocsin-io/tocsin/web/wire"
)

// fleetOfNodes is a Postgres that several real processes share.
type fleetOfNodes struct {
	t   *testing.T
	url string
	pg  *pgtest.Server
}

func newFleet(t *testing.T) *fleetOfNodes {
	t.Helper()
	pg, err := pgtest.Start(pgtest.Options{})
	if err != nil {
		pgtest.Skip(t, err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := pg.Create("tocsin"); err != nil {
		t.Fatal(err)
	}
	return &fleetOfNodes{t: t, url: pg.URL("tocsin"), pg: pg}
}

func (f *fleetOfNodes) start(name string) *tocsintest.Server {
	f.t.Helper()
	return tocsintest.Start(f.t, tocsin(f.t), f.t.TempDir(), "--database", f.url, "--node", name)
}

// nodes is what a server says of all.
func nodes(t *testing.T, s *tocsintest.Server) map[string]core.Node {
	t.Helper()
	var page wire.Page[core.Node]
	if status, body := s.Do(http.MethodGet, "/api/v1/nodes", nil, &page); status != http.StatusOK {
		t.Fatalf("list nodes: %d %s", status, body)
	}
	out := map[string]core.Node{}
	for _, n := range page.Items {
		out[n.Name] = n
	}
	return out
}

// settled waits until those nodes, and no others, hold all shards and the rules.
func settled(t *testing.T, by *tocsintest.Server, names ...string) map[string]core.Node {
	t.Helper()
	var last map[string]core.Node
	tocsintest.Until(t, 2*time.Minute, "shards are shared by "+strings.Join(names, ", "), func() bool {
		last = nodes(t, by)
		shards, rules := 0, 0
		for _, name := range names {
			n := last[name]
			if len(n.Shards) == 0 || !n.Alive {
				return false
			}
			shards += len(n.Shards)
			if n.Rules {
				rules++
			}
		}
		return shards == core.Shards && rules == 1
	})
	return last
}

// history is all that is stored, read by somebody who takes no part.
func (f *fleetOfNodes) history() (runs []core.Run, log []core.Transition, firings []core.Firing) {
	f.t.Helper()
	db, err := postgres.Open(f.t.Context(), f.url, postgres.Options{Node: "reader", Aside: true})
	if err != nil {
		f.t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // it only reads
	if runs, _, err = db.RunsAfter(f.t.Context(), 0, 1_000_000); err != nil {
		f.t.Fatal(err)
	}
	if log, err = db.After(f.t.Context(), 0, 1_000_000); err != nil {
		f.t.Fatal(err)
	}
	if firings, err = db.Firings(f.t.Context(), store.FiringQuery{Limit: 1000}); err != nil {
		f.t.Fatal(err)
	}
	return runs, log, firings
}

// proof proves of what is stored that no due time was recorded twice, that Seq
// has no gap and that the log is what the runs give.
func proof(t *testing.T, runs []core.Run, log []core.Transition, policy core.Policy) {
	t.Helper()
	type due struct {
		assignment string
		at         int64
	}
	seen := map[due]int64{}
	standings := map[string]core.Standing{}
	var want, got []string
	for i := range runs {
		r := &runs[i]
		if d := (due{r.Assignment, r.Due.UnixNano()}); !r.Manual {
			if seen[d] != 0 {
				t.Errorf("the due time %v of %s is recorded by run %d and by run %d", r.Due, r.Assignment, seen[d], r.ID)
			}
			seen[d] = r.ID
		}
		was := standings[r.Assignment]
		now := core.Advance(was, policy, r)
		if standings[r.Assignment] = now; now.Health != was.Health {
			want = append(want, fmt.Sprintf("%s %v>%v", r.Assignment, was.Health, now.Health))
		}
	}
	for i, c := range log {
		if c.Seq != int64(i+1) {
			t.Fatalf("entry %d of the log has seq %d", i+1, c.Seq)
		}
		if c.Subject.Kind == core.OfAssignment && c.Cause == core.CauseRun {
			got = append(got, fmt.Sprintf("%s %v>%v", c.Subject.ID, c.From, c.To))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log says\n%s\nand the runs give\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

const systemsOfFleet = 60

// manifests are systems that are checked each second, and a rule that calls a
// webhook when one is unhealthy.
func manifests(target, hook string) string {
	var out strings.Builder
	var names []string
	for i := range systemsOfFleet {
		names = append(names, fmt.Sprintf("s%02d", i))
		fmt.Fprintf(&out, "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: %s}\n---\n", names[i])
	}
	fmt.Fprintf(&out, `apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec:
  systems: [%s]
  every: 1s
  policy: {degraded: 1, unhealthy: 2}
  collect: [{use: http, with: {url: %q}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do:
    - webhook: {url: %q, body: {system: "${system.id}"}}
`, strings.Join(names, ", "), target, hook)
	return out.String()
}

// Three real processes share a Postgres. One is killed, then one is stopped past
// its lease and goes on later, and the target breaks and recovers meanwhile.
//
// acceptance 4, 5, 13, 27, 28.
func TestNodes(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	goal := &tocsintest.Target{}
	goal.Set(true)
	target := httptest.NewServer(goal)
	t.Cleanup(target.Close)
	hooks := tocsintest.NewReceiver()
	receiver := httptest.NewServer(hooks)
	t.Cleanup(receiver.Close)

	servers := map[string]*tocsintest.Server{}
	for _, name := range []string{"n1", "n2", "n3"} {
		servers[name] = f.start(name)
	}
	watch := servers["n1"]
	all := settled(t, watch, "n1", "n2", "n3")
	watch.Apply(manifests(target.URL, receiver.URL))
	healthy := func(by *tocsintest.Server, want core.Health) {
		t.Helper()
		tocsintest.Until(t, 2*time.Minute, "all systems are "+want.String(), func() bool {
			var fleet wire.Fleet
			status, _ := by.Do(http.MethodGet, "/api/v1/fleet", nil, &fleet)
			return status == http.StatusOK && fleet.Health == strings.Repeat(strconv.Itoa(int(want)), systemsOfFleet)
		})
	}
	healthy(servers["n2"], core.Healthy)

	// Who leads the rules is killed while everything breaks.
	byLead := slices.SortedFunc(func(yield func(string) bool) {
		for name := range servers {
			if !yield(name) {
				return
			}
		}
	}, func(a, b string) int {
		if all[a].Rules != all[b].Rules {
			return cmp.Compare(fmt.Sprint(all[b].Rules), fmt.Sprint(all[a].Rules))
		}
		return cmp.Compare(a, b)
	})
	leader, second, third := byLead[0], byLead[1], byLead[2]
	goal.Set(false)
	servers[leader].Kill()
	settled(t, servers[second], second, third)
	healthy(servers[second], core.Unhealthy)
	fired := func(_ *tocsintest.Server, want int) {
		t.Helper()
		tocsintest.Until(t, 2*time.Minute, fmt.Sprintf("%d webhooks of different firings", want), func() bool {
			keys := map[string]bool{}
			for _, h := range hooks.Hooks() {
				keys[h.Key] = true
			}
			if len(keys) > want {
				t.Fatalf("there are webhooks of %d firings, want %d: a firing was doubled", len(keys), want)
			}
			return len(keys) == want
		})
	}
	fired(servers[second], systemsOfFleet)

	// Who leads now is stopped past its lease, and goes on.
	stopped, other := second, third
	if nodes(t, servers[third])[third].Rules {
		stopped, other = third, second
	}
	if err := servers[stopped].Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	goal.Set(true)
	settled(t, servers[other], other)
	healthy(servers[other], core.Healthy)
	goal.Set(false)
	if err := servers[stopped].Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	settled(t, servers[other], other, stopped)
	healthy(servers[other], core.Unhealthy)
	healthy(servers[stopped], core.Unhealthy)
	fired(servers[other], 2*systemsOfFleet)

	// A run that is asked for is carried out by who holds the assignment.
	for _, s := range []*tocsintest.Server{servers[other], servers[stopped]} {
		for _, system := range []string{"s00", "s01", "s02", "s03"} {
			if status, body := s.Do(http.MethodPost, "/api/v1/assignments/"+system+":front/run", nil, nil); status >= 300 && status != http.StatusConflict {
				t.Errorf("run %s now: %d %s", system, status, body)
			}
		}
	}

	// Who is asked to end gives back at once.
	began := time.Now()
	if err := servers[stopped].Stop(); err != nil {
		t.Errorf("stop %s: %v", stopped, err)
	}
	settled(t, servers[other], other)
	t.Logf("after a stop the other node holds everything within %v", time.Since(began))

	runs, log, firings := f.history()
	proof(t, runs, log, core.Policy{Degraded: 1, Unhealthy: 2})
	episodes := map[string]int{}
	for _, x := range firings {
		if len(x.Steps) > 0 { // a recovery has none
			episodes[x.Subject.ID]++
		}
	}
	for i := range systemsOfFleet {
		if id := fmt.Sprintf("s%02d", i); episodes[id] != 2 {
			t.Errorf("%s fired %d times, want twice: it was unhealthy twice", id, episodes[id])
		}
	}
}
