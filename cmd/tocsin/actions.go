package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

// actionDesk is what actions of rules need of the program. It reads the parts
// of the app when it is asked, because the compiler of rules is made before
// them.
type actionDesk struct{ app *app }

var _ action.Assignments = actionDesk{}

// Run implements action.Assignments.
func (d actionDesk) Run(ctx context.Context, assignment string) (core.Run, error) {
	a := d.app
	if err := (engineDesk{a.engine, a.syncer, a.crew}).RunNow(ctx, assignment); err != nil {
		return core.Run{}, fmt.Errorf("run %s: %w", assignment, err)
	}
	runs, err := a.db.Runs(ctx, store.RunQuery{Assignment: assignment, Limit: 1})
	if err != nil {
		return core.Run{}, fmt.Errorf("read the run of %s: %w", assignment, err)
	}
	if len(runs) == 0 {
		return core.Run{}, store.ErrNotFound
	}
	return runs[0], nil
}

// Able implements action.Assignments.
func (d actionDesk) Able(ctx context.Context, assignment string, enable bool, by string) (bool, error) {
	system, id := core.SplitAssignmentID(assignment)
	for {
		o, err := d.app.db.Object(ctx, store.Checks, id)
		if err != nil {
			return false, fmt.Errorf("check %q: %w", id, err)
		}
		changed, err := d.able(ctx, o, system, enable, by)
		if errors.Is(err, store.ErrConflict) && ctx.Err() == nil {
			continue // somebody else was faster
		}
		return changed, err
	}
}

func (d actionDesk) able(ctx context.Context, o store.Object, system string, enable bool, by string) (bool, error) {
	all, err := d.app.db.Assignments(ctx)
	if err != nil {
		return false, fmt.Errorf("read the assignments: %w", err)
	}
	enabled, found := false, false
	for _, a := range all {
		if a.System == system && a.Check == o.ID {
			enabled, found = a.Enabled, true
		}
	}
	switch {
	case !found:
		return false, store.ErrNotFound
	case enabled == enable:
		return false, nil
	}
	var check core.Check
	if err := json.Unmarshal(o.Body, &check); err != nil {
		return false, fmt.Errorf("read check %q: %w", o.ID, err)
	}
	if check, err = plan.Able(check, system, enable); err != nil {
		return false, &action.RefusedError{Reason: err.Error()}
	}
	_, problems, err := d.app.service.Apply(ctx, plan.Changes{Put: []any{&check}}, plan.ApplyOptions{
		By: by, Now: time.Now(), IfVersion: map[string]int64{plan.Ref{Kind: store.Checks, ID: o.ID}.String(): o.Version},
	})
	if err == nil {
		err = problems.Err()
	}
	if err != nil {
		return false, fmt.Errorf("save check %q: %w", o.ID, err)
	}
	return true, nil
}
