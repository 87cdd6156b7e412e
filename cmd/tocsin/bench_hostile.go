package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/wasm/testdata/hostile"
)

const (
	attackTime  = 2 * time.Second // timeout of the checks that attack, and their interval in a storm
	healthyEach = 50              // healthy checks of each collector, one run a second each
)

// witness is a database that tells of each run that is recorded.
type witness struct {
	database

	mu   sync.Mutex
	runs []core.Run // guarded by mu
}

// Record implements store.Ledger.
func (w *witness) Record(ctx context.Context, runs []*core.Run) error {
	w.mu.Lock()
	for _, r := range runs {
		w.runs = append(w.runs, core.Run{Assignment: r.Assignment, Due: r.Due, Started: r.Started, Ended: r.Ended, Outcome: r.Outcome, Why: r.Why})
	}
	w.mu.Unlock()
	return w.database.Record(ctx, runs)
}

// take is every run since it was called last.
func (w *witness) take() []core.Run {
	w.mu.Lock()
	defer w.mu.Unlock()
	runs := w.runs
	w.runs = nil
	return runs
}

// benchHostile runs a whole server with healthy checks, and lets hostile
// modules loose on it: one after the other, and size of them at once.
func benchHostile(b *bencher) error {
	url, stop, err := b.target()
	if err != nil {
		return err
	}
	defer stop()
	db, err := sqlite.Open(b.ctx, b.dir, sqlite.Options{})
	if err != nil {
		return err
	}
	defer db.Close() //nolint:errcheck // a database for this measurement only
	w := &witness{database: db}
	a, err := assemble(b.ctx, w, serveFlags{place: place{data: b.dir}}, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer a.close(b.ctx)
	attackers, err := b.upload(a)
	if err != nil {
		return err
	}
	if err := b.healthy(a, url); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	listener, err := listen(ctx)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- a.run(ctx, listener) }()
	b.settle(a)
	err = b.attack(a, w, attackers)
	cancel()
	return errors.Join(err, <-ended)
}

// attack is what happens to the server.
func (b *bencher) attack(a *app, w *witness, attackers []string) error {
	w.take()
	time.Sleep(time.Duration(b.seconds) * time.Second)
	quiet := summarize(w.take())
	quiet.report(b, "nobody attacks", 0, summary{})
	during, err := b.alone(a, w, attackers)
	if err != nil {
		return err
	}
	lived := map[string]time.Duration{}
	for _, r := range during {
		if _, name, attack := strings.Cut(r.Assignment, ":attack-"); attack {
			lived[name] = r.Ended.Sub(r.Started)
		}
	}
	// Those that live longest lead, so that a few are not the harmless ones.
	slices.SortStableFunc(attackers, func(x, y string) int { return cmp.Compare(lived[y], lived[x]) })
	summarize(during).report(b, "one attacks", 1, quiet)
	for _, size := range b.sizes {
		if err := b.unleash(a, attackers, size, attackTime); err != nil {
			return err
		}
		time.Sleep(2 * attackTime) // until all of them have begun
		w.take()
		time.Sleep(time.Duration(b.seconds) * time.Second)
		summarize(w.take()).report(b, "all attack", size, quiet)
	}
	return nil
}

// summary is how healthy checks and attackers fared for a while.
type summary struct {
	late   []time.Duration // healthy runs, after they were due; ascending
	took   []time.Duration // healthy runs of a module; ascending
	missed int             // healthy runs that did not pass
	lived  []time.Duration // attackers; ascending
}

func summarize(runs []core.Run) summary {
	var s summary
	for _, r := range runs {
		_, check, _ := strings.Cut(r.Assignment, ":")
		if strings.HasPrefix(check, "attack-") {
			s.lived = append(s.lived, r.Ended.Sub(r.Started))
			continue
		}
		s.late = append(s.late, r.Started.Sub(r.Due))
		if strings.HasSuffix(check, "bench-tiny") {
			s.took = append(s.took, r.Ended.Sub(r.Started))
		}
		if r.Outcome != core.Pass {
			s.missed++
		}
	}
	for _, list := range [][]time.Duration{s.late, s.took, s.lived} {
		slices.Sort(list)
	}
	return s
}

// part is the value that a part q of a sorted list does not exceed, in
// milliseconds.
func part(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return millis(sorted[min(int(q*float64(len(sorted))), len(sorted)-1)])
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (s summary) report(b *bencher, when string, size int, quiet summary) {
	say := func(what string, value, baseline float64, unit, goal string) {
		f := figure{Size: size, What: when + ": " + what, Value: value, Unit: unit, Goal: goal, Baseline: baseline}
		if baseline > 0 {
			f.Ratio = value / baseline
		}
		b.report(f)
	}
	say("healthy runs", float64(len(s.late)), float64(len(quiet.late)), "runs", "")
	say("healthy runs that passed", float64(len(s.late)-s.missed), float64(len(quiet.late)-quiet.missed), "runs", "all of them")
	say("healthy lateness p50", part(s.late, 0.5), part(quiet.late, 0.5), "ms", "")
	say("healthy lateness p99", part(s.late, 0.99), part(quiet.late, 0.99), "ms", "< 250")
	say("healthy module run p99", part(s.took, 0.99), part(quiet.took, 0.99), "ms", "")
	if len(s.lived) > 0 {
		say("attackers ended", float64(len(s.lived)), 0, "runs", "")
		say("longest life of an attacker", part(s.lived, 1), millis(attackTime), "ms", "its timeout, and 100 ms to say so")
	}
}

// upload gives the server every hostile module that it accepts, and says what
// became of the others.
func (b *bencher) upload(a *app) (accepted []string, err error) {
	files, err := fs.Glob(hostile.Files, "*.wasm")
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		file, err := hostile.Files.ReadFile(path)
		if err != nil {
			return nil, err
		}
		began := time.Now()
		if err := a.putModule(b.ctx, file); err != nil {
			b.report(figure{Bench: "hostile/" + strings.TrimSuffix(path, ".wasm"), What: "refused at upload", Value: millis(time.Since(began)), Unit: "ms"})
			continue
		}
		m, err := a.host.Inspect(b.ctx, file)
		if err != nil {
			return nil, err
		}
		accepted = append(accepted, m.Name)
	}
	return accepted, nil
}

// healthy makes the checks that must not notice.
func (b *bencher) healthy(a *app, url string) error {
	tiny, err := collectorFiles.ReadFile("bench/tiny.wasm")
	if err != nil {
		return err
	}
	if err := a.putModule(b.ctx, tiny); err != nil {
		return err
	}
	changes := plan.Changes{}
	for use, with := range map[string]map[string]any{"http": {"url": url}, "wasm:bench-tiny": nil} {
		changes.Put = append(changes.Put, core.Check{
			ID: "healthy-" + strings.TrimPrefix(use, "wasm:"), Systems: core.Selector{Match: `system.tags.bench == "healthy"`}, Every: core.Duration(time.Second), Timeout: core.Duration(time.Second),
			Collect: []core.Collect{{Use: use, With: with}},
		})
	}
	for i := range healthyEach {
		changes.Put = append(changes.Put, core.System{ID: fmt.Sprintf("healthy-%03d", i), Tags: map[string]string{"bench": "healthy"}})
	}
	return b.apply(a, changes)
}

func (b *bencher) apply(a *app, changes plan.Changes) error {
	_, problems, err := a.service.Apply(b.ctx, changes, plan.ApplyOptions{By: "bench", Now: time.Now()})
	return errors.Join(err, problems.Err())
}

// unleash makes n attackers that run every so often: system i has the i-th
// module.
func (b *bencher) unleash(a *app, modules []string, n int, every time.Duration) error {
	changes := plan.Changes{}
	for _, name := range modules {
		changes.Put = append(changes.Put, core.Check{
			ID: "attack-" + name, Systems: core.Selector{Match: fmt.Sprintf(`system.tags.attacks == %q`, name)},
			Every: core.Duration(every), Timeout: core.Duration(attackTime), Collect: []core.Collect{{Use: "wasm:" + name}},
		})
	}
	for k := range max(n, len(modules), slices.Max(b.sizes)) {
		tags := map[string]string{}
		if k < n { // the others, of another size, rest
			tags["attacks"] = modules[k%len(modules)]
		}
		changes.Put = append(changes.Put, core.System{ID: attacker(k), Tags: tags})
	}
	return b.apply(a, changes)
}

func attacker(i int) string { return fmt.Sprintf("attacker-%03d", i) }

// alone runs each attacker once while nothing but the healthy checks runs. It
// returns all runs.
func (b *bencher) alone(a *app, w *witness, modules []string) (all []core.Run, err error) {
	if err := b.unleash(a, modules, len(modules), 24*time.Hour); err != nil {
		return nil, err
	}
	for i, name := range modules {
		id := core.AssignmentID(attacker(i), "attack-"+name)
		if err := b.runOnce(a, id); err != nil {
			return nil, err
		}
		runs := w.take()
		all = append(all, runs...)
		at := slices.IndexFunc(runs, func(r core.Run) bool { return r.Assignment == id })
		if at < 0 || runs[at].Outcome != core.Error {
			return nil, fmt.Errorf("nothing ended the attacker %s: %+v", name, runs)
		}
		took := runs[at].Ended.Sub(runs[at].Started)
		b.report(figure{
			Bench: "hostile/" + name, Size: 1, What: "ended by " + runs[at].Why.Code, Value: millis(took), Unit: "ms",
			Baseline: millis(attackTime), Ratio: took.Seconds() / attackTime.Seconds(),
		})
	}
	return all, nil
}

// runOnce runs an assignment that was saved a moment ago.
func (b *bencher) runOnce(a *app, id string) error {
	err := store.ErrNotFound
	for range 10 {
		if err = (engineDesk{a.engine, a.syncer, a.crew}).RunNow(b.ctx, id); !errors.Is(err, store.ErrNotFound) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", id, err)
	}
	return nil
}
