package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/examples"
	"github.com/tocsin-io/tocsin/examples/demo"
	"github.com/tocsin-io/tocsin/web/wire"
)

// demoDesk is web.Demo over the shop.
type demoDesk struct{ shop *demo.Shop }

// Targets implements web.Demo.
func (d demoDesk) Targets() []wire.DemoTarget {
	var out []wire.DemoTarget
	for _, t := range d.shop.Targets() {
		out = append(out, wire.DemoTarget{System: t.System, Mode: string(t.Mode), URL: t.URL, Hits: t.Hits})
	}
	return out
}

// Set implements web.Demo.
func (d demoDesk) Set(system, mode string) error { return d.shop.Set(system, demo.Mode(mode)) }

// setUpDemo uploads the example module and applies what watches the shop,
// whose address changes with every start.
func (a *app) setUpDemo(ctx context.Context) error {
	file, err := examples.QueueDepth()
	if err != nil {
		return fmt.Errorf("set up the demo: %w", err)
	}
	if err := a.putModule(ctx, file); err != nil {
		return fmt.Errorf("set up the demo: %w", err)
	}
	items, problems := manifest.Decode("demo.yaml", a.shop.Manifest())
	if len(problems) > 0 {
		return fmt.Errorf("set up the demo: %w", problems)
	}
	changes := plan.Changes{}
	for _, it := range items {
		changes.Put = append(changes.Put, it.Object)
	}
	_, problems, err = a.service.Apply(ctx, changes, plan.ApplyOptions{By: "demo", Now: time.Now()})
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return fmt.Errorf("set up the demo: %w", err)
	}
	return nil
}

// putModule stores a module with everything that it wants granted, but of HTTP
// only this machine, unless the very file is there.
func (a *app) putModule(ctx context.Context, file []byte) error {
	m, err := a.host.Inspect(ctx, file)
	if err != nil {
		return err
	}
	grant := m.Wants
	if len(grant.HTTP) > 0 {
		grant.HTTP, grant.Private = []string{"http://127.0.0.1:*"}, true
	}
	stored, err := a.shelf.PutModule(ctx, core.Module{
		Name: m.Name, Version: m.Version, Kind: core.WasmModule, Digest: digest(file), Size: int64(len(file)), Manifest: m, Created: time.Now(), By: "demo",
	}, file)
	if errors.Is(err, store.ErrConflict) {
		a.log.WarnContext(ctx, "keep the stored module", slog.String("module", m.Name), slog.String("version", m.Version))
		return nil
	}
	if err != nil || !stored.Granted.IsZero() {
		return err // what a person has reviewed stays as it is
	}
	if err := a.shelf.GrantModule(ctx, m.Name, m.Version, grant, "demo", time.Now()); err != nil {
		return err
	}
	r, err := a.shelf.Release(ctx, m.Name)
	if err != nil {
		return err
	}
	return a.shelf.PutRelease(ctx, r.Activate(m.Version, core.ReleaseEdit{By: "demo", At: time.Now().UTC()}))
}
