package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/collect"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/wasm"
)

// modulePrefix begins the name of a collector that a module offers.
const modulePrefix = "wasm:"

// collectors knows every collector by name: those that are built in, and the
// active version of each module. It is safe for concurrent use.
type collectors struct {
	builtin *collect.Registry
	host    *wasm.Host
	store   store.Modules
	log     *slog.Logger

	reloading sync.Mutex // one reload at a time, lest an older one puts back what a newer one closed

	mu     sync.RWMutex
	loaded map[string]loaded // guarded by mu: by name of the module
}

// loaded is a module that runs, or why it does not.
type loaded struct {
	module *wasm.Module
	digest string
	grant  string
	err    error
}

var _ plan.Collectors = (*collectors)(nil)

// reload makes the modules that run those that are active in the store. It
// goes on when ctx ends: whoever asked for the change may have gone, but the
// change is made, and a module that is half loaded could not run.
func (c *collectors) reload(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	c.reloading.Lock()
	defer c.reloading.Unlock()
	modules, err := c.store.Modules(ctx)
	if err != nil {
		return fmt.Errorf("list modules: %w", err)
	}
	c.mu.RLock()
	old := c.loaded
	c.mu.RUnlock()
	next := map[string]loaded{}
	for _, m := range modules {
		if !m.Active {
			continue
		}
		grant, err := json.Marshal(m.Grant)
		if err != nil {
			return fmt.Errorf("read the grant of %s: %w", m.Name, err)
		}
		if was, ok := old[m.Name]; ok && was.err == nil && was.digest == m.Digest && was.grant == string(grant) {
			next[m.Name] = was
			continue
		}
		l := loaded{digest: m.Digest, grant: string(grant)}
		l.module, l.err = c.load(ctx, m)
		if l.err != nil {
			c.log.ErrorContext(ctx, "load module", slog.String("module", m.Name), slog.String("version", m.Version), slog.Any("err", l.err))
		}
		next[m.Name] = l
	}
	c.mu.Lock()
	c.loaded = next
	c.mu.Unlock()
	for name, was := range old {
		if was.module != nil && next[name].module != was.module {
			was.module.Close(ctx) //nolint:errcheck,gosec // nothing to do about it
		}
	}
	return nil
}

func (c *collectors) load(ctx context.Context, m core.Module) (*wasm.Module, error) {
	file, err := c.store.ModuleFile(ctx, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("read its file: %w", err)
	}
	return c.host.Load(ctx, m, file)
}

// module that is active under a name.
func (c *collectors) module(use string) (*wasm.Module, error) {
	name := strings.TrimPrefix(use, modulePrefix)
	c.mu.RLock()
	defer c.mu.RUnlock()
	l, ok := c.loaded[name]
	if !ok {
		return nil, fmt.Errorf("no module named %q is uploaded; upload it on the Collectors page", name)
	}
	if l.err != nil {
		return nil, fmt.Errorf("module %s cannot run: %w", name, l.err)
	}
	return l.module, nil
}

// Info implements plan.Collectors.
func (c *collectors) Info(use string) (core.CollectorInfo, error) {
	if !strings.HasPrefix(use, modulePrefix) {
		return c.builtin.Info(use)
	}
	m, err := c.module(use)
	if err != nil {
		return core.CollectorInfo{}, err
	}
	return m.Info(), nil
}

// Prepare implements plan.Collectors.
func (c *collectors) Prepare(use string, config map[string]any) (plan.Collector, error) {
	if !strings.HasPrefix(use, modulePrefix) {
		return c.builtin.Prepare(use, config)
	}
	m, err := c.module(use)
	if err != nil {
		return nil, err
	}
	return m.Prepare(config), nil
}

// revision is the edition of a collector, see plan.Options.
func (c *collectors) revision(use string) string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	l := c.loaded[strings.TrimPrefix(use, modulePrefix)]
	if l.err != nil {
		return l.digest + l.grant + l.err.Error()
	}
	return l.digest + l.grant
}

// infos describes everything that can collect, in order of name.
func (c *collectors) infos() []core.CollectorInfo {
	out := c.builtin.Infos()
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, l := range c.loaded {
		if l.module != nil {
			out = append(out, l.module.Info())
		}
	}
	slices.SortFunc(out, func(a, b core.CollectorInfo) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// kept is store.Modules under a name that its methods do not have.
type kept interface{ store.Modules }

// shelf is the stored modules, and tells of changes.
type shelf struct {
	kept
	changed func(ctx context.Context)
}

// PutModule implements store.Modules.
func (s shelf) PutModule(ctx context.Context, m core.Module, file []byte) error {
	if err := s.kept.PutModule(ctx, m, file); err != nil {
		return err
	}
	s.changed(ctx)
	return nil
}

// Activate implements store.Modules.
func (s shelf) Activate(ctx context.Context, name, version string, grant core.Grant) error {
	if err := s.kept.Activate(ctx, name, version, grant); err != nil {
		return err
	}
	s.changed(ctx)
	return nil
}

// DeleteModule implements store.Modules.
func (s shelf) DeleteModule(ctx context.Context, name, version string) error {
	if err := s.kept.DeleteModule(ctx, name, version); err != nil {
		return err
	}
	s.changed(ctx)
	return nil
}
