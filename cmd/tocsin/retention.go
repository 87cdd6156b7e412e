package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// How long history is kept unless flags say otherwise, and how often what is
// older is deleted.
const (
	keepRuns        = core.Duration(30 * 24 * time.Hour)
	keepTransitions = core.Duration(400 * 24 * time.Hour)
	keepDecisions   = core.Duration(90 * 24 * time.Hour)
	pruneEvery      = time.Hour
)

// retention deletes history that is older than it should be kept; a zero
// duration keeps it for ever.
type retention struct {
	leads                        func() bool // one node of those that share a database deletes
	history                      store.History
	log                          *slog.Logger
	runs, transitions, decisions core.Duration
}

// Run deletes once an hour until ctx ends. A fault of storage is logged and
// the work is done an hour later.
func (r retention) Run(ctx context.Context) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		if r.leads() {
			r.prune(ctx, time.Now())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (r retention) prune(ctx context.Context, now time.Time) {
	before := func(keep core.Duration) time.Time {
		if keep <= 0 {
			return time.Time{}
		}
		return now.Add(-keep.Std())
	}
	gone, err := r.history.Prune(ctx, before(r.runs), before(r.transitions), before(r.decisions))
	switch {
	case errors.Is(err, context.Canceled):
	case err != nil:
		r.log.ErrorContext(ctx, "delete old history", slog.Any("err", err))
	case gone > 0:
		r.log.InfoContext(ctx, "deleted old history", slog.Int64("rows", gone))
	}
}

// durationFlag is a core.Duration on the command line.
type durationFlag struct{ *core.Duration }

// Set reads a duration such as 30d.
func (f durationFlag) Set(text string) error {
	if text == "0" {
		*f.Duration = 0
		return nil
	}
	d, err := core.ParseDuration(text)
	if err == nil && d < 0 {
		err = errors.New("it must not be negative")
	}
	if err != nil {
		return err
	}
	*f.Duration = d
	return nil
}

// Type names it in the help.
func (durationFlag) Type() string { return "duration" }
