package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/schedule"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
	"github.com/tocsin-io/tocsin/rules"
)

// targetCommand is the hidden command that serves the target of benches, in a
// process of its own so that its work is not counted as ours.
const targetCommand = "bench-target"

func newTarget(s streams) *cobra.Command {
	return &cobra.Command{
		Use: targetCommand, Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			listener, err := listen(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(s.out, "http://"+listener.Addr().String())
			server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/down" {
					w.WriteHeader(http.StatusServiceUnavailable)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"status":"ok"}`)
			})}
			go func() { // it ends with its parent, who holds the other end
				_, _ = io.Copy(io.Discard, s.in) // the end is all that matters
				_ = server.Close()
			}()
			if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				return err
			}
			return nil
		},
	}
}

// target starts the target and returns its address and what ends it.
func (b *bencher) target() (string, func(), error) {
	self, err := os.Executable()
	if err != nil {
		return "", nil, err
	}
	cmd := exec.CommandContext(b.ctx, self, targetCommand) //nolint:gosec // this very program
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", nil, fmt.Errorf("start the target: %w", err)
	}
	return strings.TrimSpace(line), func() {
		_ = in.Close()
		_ = cmd.Wait() // it has been told to end
	}, nil
}

// bare asks url at a rate with fresh connections, as plainly as net/http can,
// and returns how many answers came and the CPU time they took.
func bare(ctx context.Context, url string, rate int, span time.Duration) (int64, time.Duration) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	var done atomic.Int64
	due := make(chan struct{}, rate)
	var wait sync.WaitGroup
	for range 256 {
		wait.Go(func() {
			for range due {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
				if err != nil {
					return
				}
				resp, err := client.Do(req)
				if err != nil {
					continue
				}
				_, _ = io.Copy(io.Discard, resp.Body) // counted all the same
				_ = resp.Body.Close()
				done.Add(1)
			}
		})
	}
	cpu, begin, sent := cpuTime(), time.Now(), 0
	for time.Since(begin) < span && ctx.Err() == nil {
		for want := int(time.Since(begin).Seconds() * float64(rate)); sent < want; sent++ {
			due <- struct{}{}
		}
		time.Sleep(time.Millisecond)
	}
	close(due)
	wait.Wait()
	return done.Load(), cpuTime() - cpu
}

// ground is where a bench keeps what it measures.
type ground struct {
	// open makes an empty database, which end removes.
	open func(b *bencher, dir string) (db database, end func(), err error)
	// most is how many times the processor time of bare checks ours may take.
	most float64
	// least is how many runs must be recorded a second.
	least int
}

func onSQLite() ground {
	return ground{most: 1.3, least: 60_000, open: func(b *bencher, dir string) (database, func(), error) {
		db, err := sqlite.Open(b.ctx, dir, sqlite.Options{})
		return db, func() {}, err
	}}
}

func onPostgres() ground {
	return ground{most: 1.5, least: 80_000, open: func(b *bencher, dir string) (database, func(), error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, nil, err
		}
		url, _, end, err := b.postgres()
		if err != nil {
			return nil, nil, err
		}
		db, err := postgres.Open(b.ctx, url, postgres.Options{})
		if err != nil {
			end()
		}
		return db, end, err
	}}
}

// at calls measure with each size and an empty database.
func (g ground) at(measure func(b *bencher, g ground, dir string, db database, size int) error) func(*bencher) error {
	return func(b *bencher) error {
		for i, size := range b.sizes {
			dir := filepath.Join(b.dir, fmt.Sprint(i))
			db, end, err := g.open(b, dir)
			if errors.Is(err, pgtest.ErrMissing) {
				b.leaveOut("all", err.Error())
				return nil
			}
			if err != nil {
				return err
			}
			err = errors.Join(measure(b, g, dir, db, size), db.Close())
			end()
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// checks runs rate checks a second against one target.
func (b *bencher) checks(g ground, dir string, db database, rate int) error {
	url, stop, err := b.target()
	if err != nil {
		return err
	}
	defer stop()
	span := time.Duration(b.seconds) * time.Second
	answers, baseCPU := bare(b.ctx, url, rate, span)
	basePer := perOp(baseCPU, answers)

	a, err := assemble(b.ctx, db, serveFlags{place: place{data: dir}, engine: engine.Options{PerHost: 4096, Workers: 512}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.close(b.ctx)
	if err := b.populate(a, rate, url); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	listener, err := listen(ctx)
	if err != nil {
		cancel()
		return err
	}
	go func() { ended <- a.run(ctx, listener) }()
	b.settle(a)
	before, cpu, begin := a.engine.Stats(), cpuTime(), time.Now()
	time.Sleep(span)
	after, used, took := a.engine.Stats(), cpuTime()-cpu, time.Since(begin)
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	runs := after.Runs - before.Runs
	b.report(figure{Size: rate, What: "checks/s", Value: float64(runs) / took.Seconds(), Unit: "1/s", Baseline: float64(answers) / span.Seconds(), Goal: ">= 5000 at size 5000"})
	b.report(figure{Size: rate, What: "CPU per check", Value: perOp(used, runs), Unit: "ms", Baseline: basePer, Ratio: perOp(used, runs) / basePer, Goal: fmt.Sprintf("ratio <= %g", g.most)})
	b.report(figure{Size: rate, What: "skipped", Value: float64(after.Skipped - before.Skipped), Unit: "ticks"})
	b.report(figure{Size: rate, What: "lateness p99", Value: after.LateP99, Unit: "ms"})
	return nil
}

// settle waits until a second has passed in which every check ran on time, or
// for 20 s: the first round of a thousand new checks is not what is measured.
func (*bencher) settle(a *app) {
	for range 20 {
		before := a.engine.Stats()
		time.Sleep(time.Second)
		if now := a.engine.Stats(); now.Runs > before.Runs && now.Skipped == before.Skipped && before.Runs > 0 {
			return
		}
	}
}

func perOp(cpu time.Duration, n int64) float64 {
	return float64(cpu.Microseconds()) / 1000 / float64(max(n, 1))
}

// populate makes n systems, a check of each every second, and a rule that
// looks at every change.
func (b *bencher) populate(a *app, n int, url string) error {
	changes := plan.Changes{Put: []any{
		core.Check{
			ID: "http", Systems: core.Selector{Match: `system.tags.bench == "yes"`}, Every: core.Duration(time.Second), Timeout: core.Duration(time.Second),
			Collect: []core.Collect{{Use: "http", With: map[string]any{"url": url}, Assert: []string{"status == 200", `json.status == "ok"`}}},
		},
		core.Rule{
			ID: "outage", On: []core.Trigger{{Event: "health.changed"}}, When: `to == "unhealthy" && system.tags.bench == "yes"`,
			Gate: core.Gate{For: core.Duration(time.Minute)}, Do: []core.Step{{Action: "log", With: map[string]any{"message": "${why}"}}},
		},
	}}
	for i := range n {
		changes.Put = append(changes.Put, core.System{ID: fmt.Sprintf("system-%06d", i), Tags: map[string]string{"bench": "yes"}})
	}
	_, problems, err := a.service.Apply(b.ctx, changes, plan.ApplyOptions{By: "bench", Now: time.Now()})
	return errors.Join(err, problems.Err())
}

// record stores batches of 1,000 runs that pass, over size assignments.
func (b *bencher) record(g ground, dir string, db database, size int) error {
	const batch = 1000
	now := time.Now()
	e := store.Edit{By: "bench", Now: now}
	ids := make([]string, size)
	for i := range ids {
		system := fmt.Sprintf("system-%06d", i)
		ids[i] = core.AssignmentID(system, "http")
		e.Systems.PutSystems = append(e.Systems.PutSystems, core.System{ID: system})
		e.Systems.PutAssignments = append(e.Systems.PutAssignments, core.Assignment{ID: ids[i], System: system, Check: "http", Enabled: true, Interval: core.Duration(30 * time.Second)})
	}
	if _, err := db.Apply(b.ctx, e); err != nil {
		return err
	}
	write := func(n int) error {
		runs := make([]*core.Run, batch)
		for i := range runs {
			at := now.Add(time.Duration(n+i) * time.Millisecond)
			runs[i] = &core.Run{
				Assignment: ids[(n+i)%size], Due: at, Started: at, Ended: at.Add(12 * time.Millisecond), Latency: 12 * time.Millisecond,
				Summary: "200 in 12 ms", Samples: core.Samples{"status": int64(200), "body_bytes": int64(5120)},
			}
		}
		return db.Record(b.ctx, runs)
	}
	n := 0
	for ; n < max(size, 10*batch); n += batch { // every assignment has a standing
		if err := write(n); err != nil {
			return err
		}
	}
	space, first, begin, cpu := diskUse(dir), n, time.Now(), cpuTime()
	for ; time.Since(begin) < time.Duration(b.seconds)*time.Second; n += batch {
		if err := write(n); err != nil {
			return err
		}
	}
	took, used, stored := time.Since(begin), cpuTime()-cpu, float64(n-first)
	if err := db.Close(); err != nil { // what the journal holds moves to the database
		return err
	}
	b.report(figure{Size: size, What: "runs/s", Value: stored / took.Seconds(), Unit: "1/s", Goal: fmt.Sprintf(">= %d", g.least)})
	b.report(figure{Size: size, What: "CPU per run, of this process", Value: perOp(used, int64(stored)) * 1000, Unit: "us"})
	if b.name != "record" {
		return nil // what a server takes on its disk is its own
	}
	b.report(figure{Size: size, What: "growth per run", Value: float64(diskUse(dir)-space) / stored, Unit: "bytes", Goal: "<= 120"})
	return nil
}

// diskUse is the size of all files below dir but the write-ahead log, which is
// used again and again.
func diskUse(dir string) int64 {
	var sum int64
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !strings.HasSuffix(e.Name(), "-wal") && !strings.HasSuffix(e.Name(), "-shm") {
			sum += info.Size()
		}
	}
	return sum
}

// nowhere records nothing: the scheduler is measured by itself.
type nowhere struct{}

// Record implements engine.Recorder.
func (nowhere) Record(_ context.Context, runs []*core.Run) error {
	for i, r := range runs {
		r.ID = int64(i + 1)
	}
	return nil
}

// Expire implements engine.Recorder.
func (nowhere) Expire(context.Context, []string, time.Time) error { return nil }

// benchSchedule runs size assignments every 60 s that do nothing.
func benchSchedule(b *bencher) error {
	for _, size := range b.sizes {
		if err := b.schedule(size); err != nil {
			return err
		}
	}
	return nil
}

func (b *bencher) schedule(size int) error {
	tasks := make([]engine.Task, size)
	heap := memory()
	for i := range tasks {
		id := fmt.Sprintf("system-%06d:http", i)
		s, err := schedule.Parse(schedule.Spec{Every: core.Duration(time.Minute), Key: id})
		if err != nil {
			return err
		}
		tasks[i] = engine.Task{ID: id, Revision: "1", Schedule: s, Timeout: time.Second, Collect: func(context.Context, *core.Run) {}}
	}
	e := engine.New(nowhere{}, slog.New(slog.DiscardHandler), engine.Options{})
	e.Sync(tasks, nil)
	heap = memory() - heap
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	span := time.Duration(b.seconds) * time.Second
	time.Sleep(span)
	stats := e.Stats()
	cancel()
	if err := <-ended; err != nil {
		return err
	}
	add, remove := queueCost(size)
	b.report(figure{Size: size, What: "lateness p99", Value: stats.LateP99, Unit: "ms", Goal: "< 3"})
	b.report(figure{Size: size, What: "memory per assignment", Value: float64(heap) / float64(size), Unit: "bytes", Goal: "< 300 in the scheduler, < 4096 in all"})
	b.report(figure{Size: size, What: "add", Value: float64(add.Nanoseconds()) / 1000, Unit: "us", Goal: "< 5"})
	b.report(figure{Size: size, What: "remove", Value: float64(remove.Nanoseconds()) / 1000, Unit: "us", Goal: "< 5"})
	return nil
}

// queueCost is what adding one entry to a queue of size, and removing it again,
// takes on average.
func queueCost(size int) (add, remove time.Duration) {
	const rounds = 100_000
	var q schedule.Queue[int]
	now := time.Now()
	for i := range size {
		q.Add(&schedule.Entry[int]{Key: i}, now.Add(time.Duration(i*7919%60_000)*time.Millisecond))
	}
	extra := make([]*schedule.Entry[int], rounds)
	for i := range extra {
		extra[i] = &schedule.Entry[int]{Key: i}
	}
	begin := time.Now()
	for i, e := range extra {
		q.Add(e, now.Add(time.Duration(i*104_729%60_000)*time.Millisecond))
	}
	add = time.Since(begin) / rounds
	begin = time.Now()
	for _, e := range extra {
		q.Remove(e)
	}
	return add, time.Since(begin) / rounds
}

// memory is the heap in use after a collection.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below the limit
}

// benchRules feeds changes to size rules that all look at them.
func benchRules(b *bencher) error {
	return b.rules(func(int) string {
		return `to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`
	}, "change, all rules look", "")
}

// benchIndex feeds changes to size rules of which one looks at them.
func benchIndex(b *bencher) error {
	return b.rules(func(i int) string { return fmt.Sprintf(`to == "unhealthy" && system.tags.owner == "team-%d"`, i) }, "change, one rule looks", "within 3 x of 10 rules")
}

func (b *bencher) rules(when func(int) string, what, goal string) error {
	const systems = 10_000
	compiler, err := rules.NewCompiler(nil)
	if err != nil {
		return err
	}
	base := 0.0
	for _, size := range b.sizes {
		m := rules.NewMachine(compiler, rules.MachineOptions{Instant: true})
		now := time.Now()
		catalog := rules.Catalog{}
		for i := range systems {
			catalog.Systems = append(catalog.Systems, core.System{ID: fmt.Sprintf("system-%05d", i), Tags: map[string]string{"env": "test", "owner": fmt.Sprintf("team-%d", i%size)}})
		}
		m.SetCatalog(catalog, now)
		var saved []rules.Saved
		for i := range size {
			saved = append(saved, rules.Saved{At: now.Add(-time.Hour), Rule: core.Rule{
				ID: fmt.Sprintf("rule-%05d", i), On: []core.Trigger{{Event: "health.changed"}}, When: when(i),
				Gate: core.Gate{For: core.Duration(time.Hour)}, Do: []core.Step{{Action: "log", With: map[string]any{"message": "x"}}},
			}})
		}
		m.SetRules(saved, now)
		n, begin := 0, time.Now()
		for time.Since(begin) < time.Duration(b.seconds)*time.Second/2 {
			for range 100 {
				n++
				health := [2]core.Health{core.Healthy, core.Degraded}
				m.Feed(core.Transition{
					Seq: int64(n), At: now.Add(time.Duration(n) * time.Microsecond), Subject: core.Subject{Kind: core.OfSystem, ID: fmt.Sprintf("system-%05d", n%systems)},
					From: health[n/systems%2], To: health[1-n/systems%2], Cause: core.CauseRun, HealthyChecks: 0, TotalChecks: 1,
				}, now.Add(time.Duration(n)*time.Microsecond))
			}
			m.Changes()
		}
		cost := float64(time.Since(begin).Nanoseconds()) / float64(n)
		if base == 0 {
			base = cost
		}
		b.report(figure{Size: size, What: what, Value: cost, Unit: "ns", Baseline: base, Ratio: cost / base, Goal: goal})
	}
	return nil
}

// listen opens a free loopback port.
func listen(ctx context.Context) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
}
