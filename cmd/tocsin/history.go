package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// How often history is added up, and what is too old or too much is deleted.
const (
	rollUpEvery = 5 * time.Minute
	pruneEvery  = time.Hour
)

// keep is how much history stays.
type keep struct {
	runs, minutes, hours, days amount
	transitions, decisions     amount
}

// usualKeep is what stays unless flags say otherwise.
func usualKeep() keep {
	days := func(n int) amount { return amount{age: core.Duration(time.Duration(n) * 24 * time.Hour)} }
	return keep{runs: days(30), minutes: days(3), hours: days(100), days: days(1100), transitions: days(400), decisions: days(90)}
}

// at is what stays as of now.
func (k keep) at(now time.Time) store.Keep {
	return store.Keep{
		Now: now, Runs: k.runs.bound(now), Minutes: k.minutes.bound(now), Hours: k.hours.bound(now), Days: k.days.bound(now),
		Transitions: k.transitions.bound(now).Before, Decisions: k.decisions.bound(now).Before,
	}
}

// check refuses amounts that cannot be meant together.
func (k keep) check() error {
	for _, a := range []struct {
		flag string
		of   amount
	}{{"keep-transitions", k.transitions}, {"keep-decisions", k.decisions}} {
		if a.of.bytes > 0 {
			return fmt.Errorf("--%s %s: only an age can bound them, for example 90d", a.flag, a.of)
		}
	}
	for _, pair := range []struct {
		fine, coarse       string
		finer, coarser     amount
		least              time.Duration
		leastOf, leastWhat string
	}{
		{"keep-minutes", "keep-hours", k.minutes, k.hours, 2 * time.Hour, "minutes", "2h"},
		{"keep-hours", "keep-days", k.hours, k.days, 48 * time.Hour, "hours", "2d"},
	} {
		if pair.finer.age > 0 && pair.finer.age.Std() < pair.least {
			return fmt.Errorf("--%s %s: keep %s of %s at least, or charts of recent hours are too coarse", pair.fine, pair.finer, pair.leastOf, pair.leastWhat)
		}
		if pair.coarser.age > 0 && (pair.finer.age == 0 || pair.finer.age > pair.coarser.age) {
			return fmt.Errorf("--%s %s is longer than --%s %s: what is coarser must be kept as long at least", pair.fine, pair.finer, pair.coarse, pair.coarser)
		}
	}
	return nil
}

// amount bounds history by its age and by its size; zero is no bound.
type amount struct {
	age   core.Duration
	bytes int64
}

func (a amount) bound(now time.Time) store.Bound {
	b := store.Bound{Bytes: a.bytes}
	if a.age > 0 {
		b.Before = now.Add(-a.age.Std())
	}
	return b
}

// String writes what Set reads.
func (a amount) String() string {
	var parts []string
	if a.age > 0 {
		parts = append(parts, a.age.String())
	}
	if a.bytes > 0 {
		parts = append(parts, sizeText(a.bytes))
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, ",")
}

// units of sizes, the largest first.
func units() []struct {
	name string
	size int64
} {
	return []struct {
		name string
		size int64
	}{{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}}
}

func sizeText(bytes int64) string {
	for _, u := range units() {
		if bytes >= u.size {
			return strconv.FormatFloat(float64(bytes)/float64(u.size), 'f', -1, 64) + u.name
		}
	}
	return strconv.FormatInt(bytes, 10) + "B"
}

// parseSize reads a size such as 20GB, false when text is none.
func parseSize(text string) (int64, bool, error) {
	for _, u := range units() {
		count, ok := strings.CutSuffix(strings.ToUpper(text), u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(count), 64)
		if err != nil || n <= 0 || n*float64(u.size) > math.MaxInt64/2 {
			return 0, true, fmt.Errorf("%q is not a size; write for example 500MB or 20GB", text)
		}
		return int64(n * float64(u.size)), true, nil
	}
	return 0, false, nil
}

// amountFlag is an amount on the command line.
type amountFlag struct{ *amount }

// Set reads an age, a size, or both by comma, such as 30d,20GB.
func (f amountFlag) Set(text string) error {
	var a amount
	if text == "0" {
		*f.amount = a
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		size, isSize, err := parseSize(part)
		var age core.Duration
		if !isSize {
			age, err = core.ParseDuration(part)
			if err == nil && age <= 0 {
				err = errors.New("it must be more than nothing; 0 alone is no bound")
			}
		}
		if err == nil && (isSize && a.bytes > 0 || !isSize && a.age > 0) {
			err = errors.New("write one age and one size at most, for example 30d,20GB")
		}
		if err != nil {
			return err
		}
		a.bytes, a.age = max(a.bytes, size), max(a.age, age)
	}
	*f.amount = a
	return nil
}

// Type names it in the help.
func (amountFlag) Type() string { return "age,size" }

// historian adds history up, and deletes what is too old or too much. Of the
// nodes that share a database one does.
type historian struct {
	leads   func() bool
	history store.History
	series  store.Series
	quiet   quiet
	log     *slog.Logger
	keep    keep
}

// Run works until ctx ends. A fault of storage is logged and the work is done
// the next time.
func (h historian) Run(ctx context.Context) error {
	ticker := time.NewTicker(rollUpEvery)
	defer ticker.Stop()
	for pruned := (time.Time{}); ; {
		if h.leads() {
			h.rollUp(ctx)
			if now := time.Now(); now.Sub(pruned) >= pruneEvery {
				h.prune(ctx, now)
				pruned = now
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// rollUp adds up all there is. It rests as long as it works, so that it takes
// half of a core at most when there is much to do.
func (h historian) rollUp(ctx context.Context) {
	for more := true; more; {
		var err error
		began := time.Now()
		more, err = h.series.RollUp(ctx, began)
		if err != nil && ctx.Err() == nil {
			h.log.ErrorContext(ctx, "add up history", slog.Any("err", err))
		}
		if err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Since(began)):
		}
	}
}

func (h historian) prune(ctx context.Context, now time.Time) {
	gone, err := h.history.Prune(ctx, h.keep.at(now))
	switch {
	case ctx.Err() != nil:
	case err != nil:
		h.log.ErrorContext(ctx, "delete old history", slog.Any("err", err))
	case gone > 0:
		h.log.InfoContext(ctx, "deleted old history", slog.Int64("rows", gone))
	}
	if err := h.quiet.forget(ctx, now); err != nil && ctx.Err() == nil {
		h.log.ErrorContext(ctx, "delete silences and acknowledgements that ended", slog.Any("err", err))
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
