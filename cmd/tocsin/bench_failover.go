package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

const (
	failoverSystems = 40
	// patient is how long a bench waits for what should take seconds.
	patient = 3 * time.Minute
	// later is how long after the kill a run must have started to be taken for
	// one of another node, whatever the clocks say.
	later = 100 * time.Millisecond
)

// benchPolicy is that of all checks of failover and outage.
func benchPolicy() core.Policy { return core.Policy{Degraded: 1, Unhealthy: 2} }

// failover is three nodes, each a process of its own, that check systems on
// loopback, with a rule that calls a webhook when one is unhealthy.
type failover struct {
	b       *bencher
	url     string
	db      *postgres.Store // of somebody who takes no part
	outside *outside
	nodes   map[string]*server
	seen    int64 // newest run that was looked at

	takeOver []time.Duration // until the first check of a node was run by another
	allOver  []time.Duration // until all were
	shares   int             // that nodes say they have taken over
	handOver []time.Duration // from a node that was asked to end
	ids      []int64         // of runs that were seen
}

// benchFailover takes nodes away and back, in as many rounds as size says: it
// kills them or stops them for longer than their lease, who leads the rules and
// others by turns. In each round the target breaks or recovers.
func benchFailover(b *bencher) error {
	for i, rounds := range b.sizes {
		err := b.failover(filepath.Join(b.dir, fmt.Sprint(i)), rounds)
		if errors.Is(err, pgtest.ErrMissing) {
			b.leaveOut(fmt.Sprintf("%d rounds", rounds), err.Error())
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bencher) failover(dir string, rounds int) error {
	url, _, end, err := b.postgres()
	if err != nil {
		return err
	}
	defer end()
	f := &failover{b: b, url: url, nodes: map[string]*server{}}
	if f.db, err = postgres.Open(b.ctx, url, postgres.Options{Node: "bench", Aside: true}); err != nil {
		return err
	}
	defer f.db.Close() //nolint:errcheck // it only reads
	var closeOutside func()
	if f.outside, closeOutside, err = b.openOutside(); err != nil {
		return err
	}
	defer closeOutside()
	defer func() {
		for _, s := range f.nodes {
			_ = s.kill() // it may have ended
		}
	}()
	for _, name := range []string{"n1", "n2", "n3"} {
		if err := f.start(dir, name); err != nil {
			return err
		}
	}
	if err := f.settle(); err != nil {
		return err
	}
	if err := f.nodes["n1"].apply(b.ctx, failoverManifests(f.outside.url)); err != nil {
		return err
	}
	if err := f.healthy(core.Healthy); err != nil {
		return err
	}
	for round := range rounds {
		if err := f.round(dir, round); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
	}
	for _, s := range f.nodes {
		figures, err := s.figures(b.ctx)
		if err != nil {
			return err
		}
		f.shares += int(figures["tocsin_node_takeovers_total"])
	}
	if err := f.leave(); err != nil {
		return err
	}
	return f.tell(rounds)
}

// failoverManifests are systems that are checked each second, and the rule.
func failoverManifests(url string) string {
	var out strings.Builder
	var names []string
	for i := range failoverSystems {
		names = append(names, fmt.Sprintf("s%02d", i))
		fmt.Fprintf(&out, "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: %s}\n---\n", names[i])
	}
	fmt.Fprintf(&out, `apiVersion: tocsin/v1
kind: Check
metadata: {name: front}
spec:
  systems: [%s]
  every: 1s
  policy: {degraded: %d, unhealthy: %d}
  collect: [{use: http, with: {url: %q}}]
---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do:
    - webhook: {url: %q, body: {system: "${system.id}"}}
`, strings.Join(names, ", "), benchPolicy().Degraded, benchPolicy().Unhealthy, url, url)
	return out.String()
}

func (f *failover) start(dir, name string) (err error) {
	f.nodes[name], err = f.b.startServer(filepath.Join(dir, name), nil, "--database", f.url, "--node", name)
	return err
}

// settle waits until the nodes that there are hold everything between them.
func (f *failover) settle() error {
	return f.b.until("the nodes share all the work", func() (bool, error) {
		list, err := f.db.Nodes(f.b.ctx)
		shards, led := 0, false
		for _, n := range list {
			if f.nodes[n.Name] == nil {
				continue
			}
			if !n.Alive || len(n.Shards) == 0 {
				return false, err
			}
			shards, led = shards+len(n.Shards), led || n.Rules
		}
		return shards == core.Shards && led, err
	})
}

// healthy waits until all systems are so.
func (f *failover) healthy(want core.Health) error {
	return f.b.until("all systems are "+want.String(), func() (bool, error) {
		rolled, err := f.db.Rolled(f.b.ctx)
		n := 0
		for _, r := range rolled {
			if r.Subject.Kind == core.OfSystem && r.Health == want {
				n++
			}
		}
		return n == failoverSystems, err
	})
}

// victim is a node that leads the rules, or does not.
func (f *failover) victim(leads bool) (core.Node, error) {
	list, err := f.db.Nodes(f.b.ctx)
	if err != nil {
		return core.Node{}, err
	}
	for _, n := range list {
		if f.nodes[n.Name] != nil && n.Rules == leads {
			return n, nil
		}
	}
	return core.Node{}, errors.New("there is no such node")
}

// round takes one node away and back, and waits until all that follows from it
// has happened.
func (f *failover) round(dir string, round int) error {
	kill, leads := round%2 == 0, round/2%2 == 0
	victim, err := f.victim(leads)
	if err != nil {
		return err
	}
	process := f.nodes[victim.Name]
	if _, _, err := f.news(time.Time{}, nil); err != nil {
		return err
	}
	breaks := !f.outside.down.Load()
	f.outside.down.Store(breaks)
	if kill {
		err = process.kill()
	} else {
		err = freeze(process.cmd.Process)
	}
	if err != nil {
		return err
	}
	if err := f.watch(victim, time.Now()); err != nil {
		return err
	}
	if kill {
		err = f.start(dir, victim.Name)
	} else {
		err = thaw(process.cmd.Process)
	}
	if err != nil {
		return err
	}
	if err := f.settle(); err != nil {
		return err
	}
	want, calls := core.Healthy, (round+1)/2*failoverSystems
	if breaks {
		want, calls = core.Unhealthy, (round/2+1)*failoverSystems
	}
	if err := f.healthy(want); err != nil {
		return err
	}
	return f.b.until(fmt.Sprintf("there are webhooks of %d firings", calls), func() (bool, error) {
		return f.outside.keys() >= calls, nil
	})
}

// watch waits until others have run all checks of the victim, which was taken
// away at gone, and notes how long that took.
func (f *failover) watch(victim core.Node, gone time.Time) error {
	assignments, err := f.db.Assignments(f.b.ctx)
	if err != nil {
		return err
	}
	missing := map[string]bool{}
	for _, a := range assignments {
		if slices.Contains(victim.Shards, core.ShardOf(a.System)) {
			missing[a.ID] = true
		}
	}
	first := false
	err = f.b.until("others run the checks of "+victim.Name, func() (bool, error) {
		some, at, err := f.news(gone.Add(later), missing)
		if some && !first {
			first = true
			f.takeOver = append(f.takeOver, at.Sub(gone))
		}
		return len(missing) == 0, err
	})
	f.allOver = append(f.allOver, time.Since(gone))
	return err
}

// news reads what was recorded since the last call and takes the assignments of
// it that started after from out of missing. It reports whether there were any,
// and when they were there.
func (f *failover) news(from time.Time, missing map[string]bool) (some bool, at time.Time, err error) {
	const page = 1000
	for {
		runs, _, err := f.db.RunsAfter(f.b.ctx, f.seen, page)
		at = time.Now()
		for i := range runs {
			f.seen = runs[i].ID
			f.ids = append(f.ids, runs[i].ID)
			if missing[runs[i].Assignment] && runs[i].Started.After(from) {
				delete(missing, runs[i].Assignment)
				some = true
			}
		}
		if err != nil || len(runs) < page {
			return some, at, err
		}
	}
}

// leave asks the nodes to end, one after the other, and notes how long it takes
// until others hold what each had.
func (f *failover) leave() error {
	for len(f.nodes) > 1 {
		for name, s := range f.nodes {
			delete(f.nodes, name)
			gone := time.Now()
			if err := dismiss(s.cmd.Process); err != nil {
				return err
			}
			if err := f.settle(); err != nil {
				return err
			}
			f.handOver = append(f.handOver, time.Since(gone))
			<-s.ended
			break
		}
	}
	for _, s := range f.nodes {
		if err := dismiss(s.cmd.Process); err != nil {
			return err
		}
		<-s.ended
	}
	return nil
}

// tell reports what was measured, and what is wrong with what is stored.
func (f *failover) tell(rounds int) error {
	h, err := readHistory(f.b.ctx, f.db)
	if err != nil {
		return err
	}
	a := h.examine(benchPolicy())
	f.b.made.Found = append(f.b.made.Found, a.found...)
	there := map[int64]bool{}
	for i := range h.runs {
		there[h.runs[i].ID] = true
	}
	vanished := 0
	for _, id := range f.ids {
		if !there[id] {
			vanished++
		}
	}
	broken := (rounds + 1) / 2
	unhealthy, fired := map[string]int{}, map[string]int{}
	for _, c := range h.log {
		if c.Subject.Kind == core.OfSystem && c.To == core.Unhealthy {
			unhealthy[c.Subject.ID]++
		}
	}
	for _, x := range h.firings {
		fired[x.Subject.ID]++
	}
	missed, doubled, unfired := 0, 0, 0
	for i := range failoverSystems {
		id := fmt.Sprintf("s%02d", i)
		missed += max(broken-unhealthy[id], unhealthy[id]-broken)
		doubled += max(0, fired[id]-unhealthy[id])
		unfired += max(0, unhealthy[id]-fired[id])
	}
	seconds := func(what string, d time.Duration, goal string) {
		f.b.report(figure{Size: rounds, What: what, Value: d.Seconds(), Unit: "s", Goal: goal})
	}
	none := func(what string, n int) {
		f.b.report(figure{Size: rounds, What: what, Value: float64(n), Unit: "", Goal: "0"})
	}
	seconds("take-over p50", percentile(f.takeOver, 0.5), "")
	seconds("take-over p99", percentile(f.takeOver, 0.99), "< 15")
	seconds("take-over of all checks p50", percentile(f.allOver, 0.5), "")
	seconds("take-over of all checks p99", percentile(f.allOver, 0.99), "< 15")
	seconds("hand-over at SIGTERM, longest", percentile(f.handOver, 1), "")
	f.b.report(figure{Size: rounds, What: "shares taken over, of nodes that lived to the end", Value: float64(f.shares)})
	f.b.report(figure{Size: rounds, What: "runs recorded", Value: float64(len(h.runs))})
	f.b.report(figure{Size: rounds, What: "transitions", Value: float64(len(h.log))})
	f.b.report(figure{Size: rounds, What: "firings", Value: float64(len(h.firings))})
	none("due times recorded twice", a.doubled)
	none("runs seen and lost", vanished)
	none("gaps in Seq", a.gaps)
	none("transitions not as the runs say", a.amiss)
	none("outages of a system missed or doubled", missed)
	none("firings doubled", doubled)
	none("firings missing", unfired)
	none("firings without a webhook", max(0, len(h.firings)-f.outside.keys()))
	none("webhooks of no firing", max(0, f.outside.keys()-len(h.firings)))
	return nil
}
