package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/web/wire"
)

// A load that failed is tried again, first after loadAgain and then twice as
// long after each failure, up to loadSlowly.
const (
	loadAgain  = time.Second
	loadSlowly = 5 * time.Minute
)

// judgeEvery is how often canaries are judged.
const judgeEvery = time.Second

// moduleStore is where modules are kept.
type moduleStore interface {
	store.Modules
	store.Releases
}

// collectors knows every collector by name: those that are built in, and the
// versions of modules. Versions that something names are loaded: the stable
// one, those of aliases, the canary, and what checks pin. It is safe for
// concurrent use.
type collectors struct {
	builtin *collect.Registry
	host    *wasm.Host
	store   moduleStore
	log     *slog.Logger
	// hold stores that a canary is held; what follows a change of a release
	// follows then too.
	hold func(ctx context.Context, r core.Release) error

	shelf atomic.Pointer[versions] // what is known; replaced whole

	mu     sync.Mutex                 // one change at a time, lest an older one puts back what a newer one took
	uses   map[string]map[string]bool // guarded by mu: what is used, by who uses it
	loaded map[*moduleVersion]bool    // guarded by mu: what must be closed some day
}

func newCollectors(builtin *collect.Registry, host *wasm.Host, s moduleStore, log *slog.Logger) *collectors {
	c := &collectors{
		builtin: builtin, host: host, store: s, log: log, hold: s.PutRelease,
		uses: map[string]map[string]bool{}, loaded: map[*moduleVersion]bool{},
	}
	c.shelf.Store(&versions{})
	return c
}

var _ plan.Collectors = (*collectors)(nil)

// versions is everything that is stored, at one instant. It never changes.
type versions struct {
	names map[string]*named
	needs map[*moduleVersion]bool // those that something names
}

// named is one name with its versions.
type named struct {
	kind    core.ModuleKind
	release core.Release
	modules []core.Module // newest first
	version map[string]*moduleVersion
	// Of the canary that runs: what both versions had done when it began.
	canary, stable core.Trial
}

// moduleVersion is one version of a module with one grant.
type moduleVersion struct {
	module  core.Module
	edition string // changes with its file and its grant
	tally   *tally
	state   atomic.Pointer[state]
}

// state is a version that is loaded, or why it is not.
type state struct {
	module *wasm.Module
	err    error
	tries  int
	again  time.Time // when to try again
}

func (v *moduleVersion) String() string { return v.module.Name + "@" + v.module.Version }

// reload makes what runs what the store says. It goes on when ctx ends:
// whoever asked for the change may have gone, but the change is made, and a
// module that is half loaded could not run.
func (c *collectors) reload(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refresh(context.WithoutCancel(ctx))
}

// use tells which collectors somebody uses, so that the versions that are
// pinned are loaded. It forgets what the same one used before.
func (c *collectors) use(ctx context.Context, who string, uses []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := map[string]bool{}
	for _, use := range uses {
		if u, ok := core.ParseModuleUse(use); ok && u.Pin != "" {
			next[use] = true
		}
	}
	if maps.Equal(c.uses[who], next) {
		return nil
	}
	c.uses[who] = next
	return c.refresh(context.WithoutCancel(ctx))
}

// refresh reads the store and loads what is needed. c.mu is held.
func (c *collectors) refresh(ctx context.Context) error {
	modules, err := c.store.Modules(ctx)
	if err != nil {
		return fmt.Errorf("list modules: %w", err)
	}
	releases, err := c.store.Releases(ctx)
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	old := c.shelf.Load()
	next := &versions{names: map[string]*named{}, needs: map[*moduleVersion]bool{}}
	for _, m := range modules {
		n := next.names[m.Name]
		if n == nil {
			n = &named{kind: m.Kind, release: core.Release{Name: m.Name}, version: map[string]*moduleVersion{}}
			next.names[m.Name] = n
		}
		n.modules = append(n.modules, m)
		if n.version[m.Version], err = old.keep(m); err != nil {
			return err
		}
	}
	for _, r := range releases {
		if n := next.names[r.Name]; n != nil { // else it was deleted between the two reads
			n.release = r
			n.begin(old.names[r.Name])
		}
	}
	next.need(c.uses)
	now := time.Now()
	for v := range next.needs {
		if s := v.state.Load(); s == nil || s.module == nil && !now.Before(s.again) {
			c.load(ctx, v)
		}
	}
	c.shelf.Store(next)
	return nil
}

// keep is the version as it was known, unless its file or its grant changed.
func (s *versions) keep(m core.Module) (*moduleVersion, error) {
	grant, err := json.Marshal(m.Grant)
	if err != nil {
		return nil, fmt.Errorf("read the grant of %s: %w", m.Name, err)
	}
	v := &moduleVersion{module: m, edition: m.Digest + string(grant), tally: &tally{}}
	if m.Granted.IsZero() {
		v.edition += "?"
	}
	n := s.names[m.Name]
	if n == nil || n.version[m.Version] == nil {
		return v, nil
	}
	was := n.version[m.Version]
	if was.edition == v.edition {
		return was, nil
	}
	if was.module.Digest == m.Digest {
		v.tally = was.tally
	}
	return v, nil
}

// begin notes what the versions of a canary had done when it began.
func (n *named) begin(was *named) {
	c := n.release.Canary
	if c == nil {
		return
	}
	if was != nil && was.release.Canary != nil && was.release.Canary.Version == c.Version &&
		was.release.Canary.Started.Equal(c.Started) && was.release.Stable == n.release.Stable {
		n.canary, n.stable = was.canary, was.stable
		return
	}
	if v := n.version[c.Version]; v != nil {
		n.canary = v.tally.trial()
	}
	if v := n.version[n.release.Stable]; v != nil {
		n.stable = v.tally.trial()
	}
}

// trials are what the canary and stable came to since the canary began.
func (n *named) trials() (canary, stable core.Trial) {
	if n.release.Canary == nil {
		return canary, stable
	}
	if v := n.version[n.release.Canary.Version]; v != nil {
		canary = v.tally.since(n.canary)
	}
	if v := n.version[n.release.Stable]; v != nil {
		stable = v.tally.since(n.stable)
	}
	return canary, stable
}

// need finds out which versions something names.
func (s *versions) need(uses map[string]map[string]bool) {
	add := func(n *named, version string) {
		if v := n.version[version]; v != nil {
			s.needs[v] = true
		}
	}
	for _, n := range s.names {
		add(n, n.release.Stable)
		for _, version := range n.release.Aliases {
			add(n, version)
		}
		if n.release.Canary != nil && n.release.Canary.Held.IsZero() {
			add(n, n.release.Canary.Version)
		}
	}
	for _, used := range uses {
		for use := range used {
			if v, _, err := s.find(use, ""); err == nil {
				s.needs[v] = true
			}
		}
	}
}

// load tries to make a version ready to run. c.mu is held.
func (c *collectors) load(ctx context.Context, v *moduleVersion) {
	next := &state{}
	if was := v.state.Load(); was != nil {
		next.tries = was.tries
	}
	next.module, next.err = c.open(ctx, v.module)
	if next.err != nil {
		next.again = time.Now().Add(min(loadAgain<<min(next.tries, 20), loadSlowly))
		next.tries++
		if next.tries == 1 {
			c.log.ErrorContext(ctx, "load module", slog.String("module", v.module.Name), slog.String("version", v.module.Version), slog.Any("err", next.err))
		}
	} else {
		c.loaded[v] = true
	}
	v.state.Store(next)
}

func (c *collectors) open(ctx context.Context, m core.Module) (*wasm.Module, error) {
	if m.Granted.IsZero() {
		return nil, errors.New("what it may reach was not reviewed: grant it on the Collectors page")
	}
	file, err := c.store.ModuleFile(ctx, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("read its file: %w", err)
	}
	return c.host.Load(ctx, m, file)
}

// current is what is known now, for planning; see sweep.
func (c *collectors) current() *versions { return c.shelf.Load() }

// sweep closes what nothing needs any more: neither the tasks, which were
// planned from what was known then, nor what is known now.
func (c *collectors) sweep(ctx context.Context, planned *versions) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.shelf.Load()
	for v := range c.loaded {
		if planned.needs[v] || now.needs[v] {
			continue
		}
		was := v.state.Swap(nil)
		delete(c.loaded, v)
		if was != nil && was.module != nil {
			was.module.Close(ctx) //nolint:errcheck,gosec // nothing to do about it
		}
	}
}

// Run tries loads that failed again and judges canaries, until ctx ends.
func (c *collectors) Run(ctx context.Context) error {
	ticker := time.NewTicker(judgeEvery)
	defer ticker.Stop()
	for {
		c.retry(ctx, time.Now())
		c.judge(ctx, time.Now())
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// retry loads what failed and whose time has come.
func (c *collectors) retry(ctx context.Context, now time.Time) {
	for v := range c.shelf.Load().needs {
		if s := v.state.Load(); s == nil || s.err == nil || now.Before(s.again) || v.module.Granted.IsZero() {
			continue
		}
		c.mu.Lock()
		if s := v.state.Load(); c.shelf.Load().needs[v] && s != nil && s.err != nil {
			c.load(context.WithoutCancel(ctx), v)
			if s := v.state.Load(); s.err == nil {
				c.log.InfoContext(ctx, "loaded module at last", slog.String("module", v.module.Name), slog.String("version", v.module.Version))
			}
		}
		c.mu.Unlock()
	}
}

// judge holds each canary that does worse than stable.
func (c *collectors) judge(ctx context.Context, now time.Time) {
	for name, n := range c.shelf.Load().names {
		if n.release.Canary == nil || !n.release.Canary.Held.IsZero() {
			continue
		}
		why := core.JudgeCanary(n.trials())
		if why.IsZero() {
			continue
		}
		err := c.hold(ctx, n.release.Hold(why, core.ReleaseEdit{By: "tocsin", At: now.UTC()}))
		switch {
		case errors.Is(err, store.ErrConflict): // somebody changed it meanwhile: it is judged again
		case err != nil:
			c.log.ErrorContext(ctx, "hold canary", slog.String("module", name), slog.Any("err", err))
		default:
			c.log.WarnContext(ctx, "hold canary", slog.String("module", name), slog.String("version", n.release.Canary.Version), slog.String("why", why.Text))
		}
	}
}

// find is the version that use means for an assignment, and whether it runs
// there as the canary.
func (s *versions) find(use, assignment string) (v *moduleVersion, canary bool, err error) {
	u, ok := core.ParseModuleUse(use)
	if !ok {
		return nil, false, fmt.Errorf("%q is not a module; write wasm:NAME or script:NAME", use)
	}
	n := s.names[u.Name]
	if n == nil {
		return nil, false, fmt.Errorf("no module named %q is uploaded; upload it on the Collectors page", u.Name)
	}
	if u.Kind != n.kind {
		u.Kind = n.kind
		return nil, false, fmt.Errorf("%s is a %s module: write %s", u.Name, n.kind, u)
	}
	version, canary, err := n.release.Resolve(u.Pin, assignment, n.modules)
	if err != nil {
		return nil, false, err
	}
	if v = n.version[version]; v == nil {
		return nil, false, fmt.Errorf("version %s of %s is not there any more", version, u.Name)
	}
	return v, canary, nil
}

// collector is the version that use means, if it can collect.
func (s *versions) collector(use, assignment string) (*moduleVersion, error) {
	v, _, err := s.find(use, assignment)
	if err != nil {
		return nil, err
	}
	if offers := v.module.Manifest.Offers; !slices.Contains(offers, "collector") {
		return nil, fmt.Errorf("%s collects nothing; it offers %s", v, strings.Join(offers, ", "))
	}
	return v, nil
}

// Info implements plan.Collectors. It takes what the module says of itself: one
// that cannot be loaded can be used, and its runs say why they cannot ask.
func (c *collectors) Info(use string) (core.CollectorInfo, error) {
	if _, ok := core.ParseModuleUse(use); !ok {
		return c.builtin.Info(use)
	}
	v, err := c.shelf.Load().collector(use, "")
	if err != nil {
		return core.CollectorInfo{}, err
	}
	return wasm.Info(v.module), nil
}

// Prepare implements plan.Collectors.
func (c *collectors) Prepare(use, assignment string, config map[string]any) (plan.Collector, error) {
	if _, ok := core.ParseModuleUse(use); !ok {
		return c.builtin.Prepare(use, config)
	}
	v, err := c.shelf.Load().collector(use, assignment)
	if err != nil {
		return nil, err
	}
	return &prepared{from: c, use: use, assignment: assignment, version: v, config: config}, nil
}

// prepared is a version of a module with a configuration, for one assignment.
type prepared struct {
	from            *collectors
	use, assignment string
	version         *moduleVersion
	config          map[string]any
	ready           atomic.Pointer[ready]
}

// ready is a configuration that a loaded module has taken.
type ready struct {
	module    *wasm.Module
	collector plan.Collector
}

// Collect implements plan.Collector.
func (p *prepared) Collect(ctx context.Context, rc core.RunContext) core.Result {
	v := p.version
	r, closed := p.attempt(ctx, v, rc)
	if closed { // it was replaced while this run began
		if now, err := p.from.shelf.Load().collector(p.use, p.assignment); err == nil {
			v = now
			r, _ = p.attempt(ctx, v, rc)
		}
	}
	r.Module = cmp.Or(r.Module, v.String())
	v.tally.add(&r, time.Now())
	return r
}

// attempt runs a version. It was closed when nothing needed it any more.
func (p *prepared) attempt(ctx context.Context, v *moduleVersion, rc core.RunContext) (r core.Result, closed bool) {
	s := v.state.Load()
	switch {
	case s == nil:
		return unable(v, "it is not loaded"), true
	case s.module == nil:
		return unable(v, s.err.Error()), false
	}
	taken := p.ready.Load()
	if taken == nil || taken.module != s.module {
		taken = &ready{s.module, s.module.Prepare(p.config)}
		p.ready.Store(taken)
	}
	r = taken.collector.Collect(ctx, rc)
	return r, r.Outcome == core.Error && r.Why.Code == "closed"
}

// unable is the result of a run of a version that cannot run.
func unable(v *moduleVersion, reason string) core.Result {
	why := core.Because("module", "module {module} cannot run: {reason}", "module", v.String(), "reason", reason)
	return core.Result{Outcome: core.Error, Why: why, Summary: why.Text, Samples: core.Samples{}}
}

// revision is the edition of a collector for an assignment, see plan.Options.
func (c *collectors) revision(use, assignment string) string {
	if _, ok := core.ParseModuleUse(use); !ok {
		return ""
	}
	s := c.shelf.Load()
	v, canary, err := s.find(use, assignment)
	if err != nil {
		return err.Error()
	}
	if canary { // assertions are those of stable
		if stable, _, err := s.find(use, ""); err == nil {
			return v.edition + stable.edition
		}
	}
	return v.edition
}

// infos describes everything that can collect, in order of name: of modules
// the stable version.
func (c *collectors) infos() []core.CollectorInfo {
	out := c.builtin.Infos()
	s := c.shelf.Load()
	for name, n := range s.names {
		if v, err := s.collector(string(n.kind)+":"+name, ""); err == nil {
			out = append(out, wasm.Info(v.module))
		}
	}
	slices.SortFunc(out, func(a, b core.CollectorInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// report is how a version does.
func (c *collectors) report(name, number string) (r wire.ModuleState) {
	n := c.shelf.Load().names[name]
	if n == nil || n.version[number] == nil {
		return r
	}
	v := n.version[number]
	r.Stats = v.tally.stats(time.Now())
	if s := v.state.Load(); s != nil {
		r.Loaded = s.module != nil
		if s.err != nil {
			r.Error = s.err.Error()
		}
	}
	return r
}

// trials are what the canary of a module and its stable version came to since
// the canary began.
func (c *collectors) trials(name string) (canary, stable core.Trial) {
	n := c.shelf.Load().names[name]
	if n == nil {
		return canary, stable
	}
	return n.trials()
}

// kept is moduleStore under a name that its methods do not have.
type kept = moduleStore

// shelf is the stored modules, and tells of changes.
type shelf struct {
	kept
	changed func(ctx context.Context)
	refuse  func(r core.Release) error // why a release must not be made
}

// PutModule implements store.Modules.
func (s shelf) PutModule(ctx context.Context, m core.Module, file []byte) (core.Module, error) {
	out, err := s.kept.PutModule(ctx, m, file)
	if err == nil {
		s.changed(ctx)
	}
	return out, err
}

// GrantModule implements store.Modules.
func (s shelf) GrantModule(ctx context.Context, name, version string, grant core.Grant, by string, now time.Time) error {
	return s.told(ctx, s.kept.GrantModule(ctx, name, version, grant, by, now))
}

// DeleteModule implements store.Modules.
func (s shelf) DeleteModule(ctx context.Context, name, version string) error {
	return s.told(ctx, s.kept.DeleteModule(ctx, name, version))
}

// PutRelease implements store.Releases.
func (s shelf) PutRelease(ctx context.Context, r core.Release) error {
	if err := s.refuse(r); err != nil {
		return err
	}
	return s.told(ctx, s.kept.PutRelease(ctx, r))
}

// told tells of a change that was made.
func (s shelf) told(ctx context.Context, err error) error {
	if err == nil {
		s.changed(ctx)
	}
	return err
}
