package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/schedule"
	"github.com/tocsin-io/tocsin/core/store"
)

// syncer keeps the engine's tasks what the catalog and the modules say.
type syncer struct {
	catalog    store.Catalog
	ledger     store.Ledger
	planner    *plan.Planner
	collectors *collectors
	engine     *engine.Engine
	log        *slog.Logger
	crew       *crew
	modules    chan struct{} // a hint that modules or the share changed; of capacity 1

	others atomic.Pointer[map[string]*schedule.Schedule] // of what other nodes run
}

// next is when an Assignment is due, whichever node runs it.
func (s *syncer) next(assignment string) time.Time {
	if at := s.engine.Next(assignment); !at.IsZero() {
		return at
	}
	others := s.others.Load()
	if others == nil || (*others)[assignment] == nil {
		return time.Time{}
	}
	return (*others)[assignment].Next(s.crew.now())
}

// moved hints that modules changed.
func (s *syncer) moved() {
	select {
	case s.modules <- struct{}{}:
	default: // one hint waits already
	}
}

// Run follows the catalog until ctx ends. A fault of storage leaves the tasks
// as they are and is tried again.
func (s *syncer) Run(ctx context.Context) error {
	const pause = time.Second
	for ctx.Err() == nil {
		err := s.follow(ctx)
		if err == nil || ctx.Err() != nil {
			continue
		}
		s.log.ErrorContext(ctx, "plan runs", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return nil
}

// follow plans once, and waits until there is something new to plan.
func (s *syncer) follow(ctx context.Context) error {
	version, err := s.once(ctx)
	if err != nil {
		return err
	}
	return s.wait(ctx, version)
}

// wait returns when the catalog is newer than version, or modules changed.
func (s *syncer) wait(ctx context.Context, version int64) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		select {
		case <-ctx.Done():
		case <-s.modules:
			cancel()
		}
	}()
	err := s.catalog.Changed(ctx, version)
	cancel()
	<-stop
	if err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("follow the catalog: %w", err)
	}
	return nil
}

func (s *syncer) once(ctx context.Context) (int64, error) {
	// The share is taken before the standings are read: of what is ours by then
	// they say what others have run.
	holds := s.crew.holds()
	checks, systems, version, err := definitions(ctx, s.catalog)
	if err != nil {
		return 0, err
	}
	standings, err := s.ledger.Standings(ctx)
	if err != nil {
		return 0, fmt.Errorf("read standings: %w", err)
	}
	last := make(map[string]time.Time, len(standings))
	for id, standing := range standings {
		last[id] = standing.LastAt
	}
	var uses []string
	for _, c := range checks {
		for _, step := range c.Collect {
			uses = append(uses, step.Use)
		}
	}
	if err := s.collectors.use(ctx, "checks", uses); err != nil {
		return 0, err
	}
	known := s.collectors.current()
	s.engine.Sync(s.share(s.planner.Tasks(checks, systems), holds), last)
	s.collectors.sweep(ctx, known)
	return version, nil
}

// share is those of the tasks that this process runs.
func (s *syncer) share(tasks []engine.Task, holds func(assignment string) bool) []engine.Task {
	others := map[string]*schedule.Schedule{}
	ours := tasks[:0]
	for _, t := range tasks {
		if holds(t.ID) {
			ours = append(ours, t)
		} else {
			others[t.ID] = t.Schedule
		}
	}
	s.others.Store(&others)
	return ours
}

// definitions reads all checks and systems, and the version of the catalog
// that they belong to.
func definitions(ctx context.Context, catalog store.Catalog) ([]core.Check, []core.System, int64, error) {
	objects, version, err := catalog.Objects(ctx, store.Checks, store.Systems)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("read the catalog: %w", err)
	}
	var checks []core.Check
	var systems []core.System
	for _, o := range objects {
		var into any
		switch o.Kind {
		case store.Checks:
			checks = append(checks, core.Check{})
			into = &checks[len(checks)-1]
		case store.Systems:
			systems = append(systems, core.System{})
			into = &systems[len(systems)-1]
		case store.Rules, store.Maintenances, store.Silences, store.Acknowledgements, store.Channels:
			continue
		}
		if err := json.Unmarshal(o.Body, into); err != nil {
			return nil, nil, 0, fmt.Errorf("read %s %s: %w", o.Kind, o.ID, err)
		}
	}
	return checks, systems, version, nil
}
