package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// assignments registers what is about one Check on one System.
func (s *server) assignments(api huma.API, failed *huma.Schema) {
	at := "/api/v1/assignments/{id}/"
	add(s, api, failed, operation{route: "GET " + at + "latency", id: "latency", summary: "Latency over time", errors: []int{404}}, s.latency)
	add(s, api, failed, operation{route: "POST " + at + "run", id: "run-now", summary: "Run it now; answers when the run is stored", errors: []int{404, 409, 503}}, s.runNow)
	add(s, api, failed, operation{route: "POST " + at + "enable", id: "enable", summary: "Run it on its schedule again", status: http.StatusNoContent, errors: []int{404, 409}},
		func(ctx context.Context, in *byID) (*empty, error) { return nil, s.able(ctx, in.ID, true) })
	add(s, api, failed, operation{route: "POST " + at + "disable", id: "disable", summary: "Run it no more", status: http.StatusNoContent, errors: []int{404, 409}},
		func(ctx context.Context, in *byID) (*empty, error) { return nil, s.able(ctx, in.ID, false) })
}

// assigned finds an Assignment.
func (s *server) assigned(ctx context.Context, id string) (*view, core.Assignment, error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, core.Assignment{}, err
	}
	a, ok := v.assignment(id)
	if !ok {
		return nil, a, failure(http.StatusNotFound, fmt.Sprintf("there is no assignment %q; it is written system:check", id))
	}
	return v, a, nil
}

func (s *server) runNow(ctx context.Context, in *byID) (*body[core.Run], error) {
	v, a, err := s.assigned(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if !a.Enabled {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s is disabled; enable it first", in.ID))
	}
	wait := v.deadline(a) + s.o.RunNowSlack
	bound, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err = s.Engine.RunNow(bound, in.ID)
	switch {
	case err != nil && ctx.Err() == nil && bound.Err() != nil: // it waits for a worker or for storage
		return nil, failure(http.StatusServiceUnavailable, fmt.Sprintf("the run was not stored within %s; it goes on, and is stored as soon as that is possible", core.Duration(wait)))
	case errors.Is(err, ErrBusy):
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s is running already", in.ID))
	case errors.Is(err, store.ErrNotFound):
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s is not scheduled yet; try again in a moment", in.ID))
	case err != nil:
		return nil, fmt.Errorf("run %s: %w", in.ID, err)
	}
	s.audit(ctx, "run", idAttr(in.ID))
	runs, err := s.History.Runs(ctx, store.RunQuery{Assignment: in.ID, Limit: 1, WithDetails: true})
	if err != nil {
		return nil, fmt.Errorf("read the run: %w", err)
	}
	if len(runs) == 0 {
		return nil, failure(http.StatusNotFound, "the run is not stored; its assignment was deleted meanwhile")
	}
	return answer(runs[0]), nil
}

// deadline is the most that a run of a takes.
func (v *view) deadline(a core.Assignment) time.Duration {
	for _, c := range v.checks {
		if c.ID == a.Check {
			return cmp.Or(c.Overrides[a.System].Timeout, c.Timeout, core.DefaultTimeout).Std()
		}
	}
	return core.DefaultTimeout.Std()
}

// able enables or disables one Assignment by an override of its Check.
func (s *server) able(ctx context.Context, id string, enable bool) error {
	v, a, err := s.assigned(ctx, id)
	if err != nil {
		return err
	}
	if a.Enabled == enable {
		return nil
	}
	ref := plan.Ref{Kind: store.Checks, ID: a.Check}
	o, ok := v.object(ref)
	if !ok {
		return failure(http.StatusNotFound, fmt.Sprintf("there is no check %q", a.Check))
	}
	got, err := stored[core.Check](o) // a copy that is nobody else's
	if err != nil {
		return err
	}
	check, err := plan.Able(got.Object, a.System, enable)
	if err != nil {
		return failure(http.StatusConflict, err.Error())
	}
	return s.edit(ctx, plan.Changes{Put: []any{&check}}, ref, got.Version)
}

// The series of latency has about so many buckets, of at most so many runs.
const (
	latencyBuckets = 120
	latencyRuns    = 60_000
)

func (s *server) latency(ctx context.Context, in *ranged) (*body[wire.LatencySeries], error) {
	span, err := in.span()
	if err != nil {
		return nil, err
	}
	if _, _, err := s.assigned(ctx, in.ID); err != nil {
		return nil, err
	}
	step := max(span/latencyBuckets, time.Second).Truncate(time.Second)
	from := time.Now().Add(-span).Truncate(step)
	series := newSeries(from, step, int(span/step)+1)
	before := int64(0)
	for range latencyRuns / maxPage {
		runs, err := s.History.Runs(ctx, store.RunQuery{Assignment: in.ID, Since: from, Before: before, Limit: maxPage})
		if err != nil {
			return nil, fmt.Errorf("read the runs of %s: %w", in.ID, err)
		}
		for i := range runs {
			series.add(&runs[i])
		}
		if len(runs) < maxPage {
			break
		}
		before = runs[len(runs)-1].ID
	}
	return answer(series.wire()), nil
}

// series gathers runs in buckets of equal width.
type series struct {
	from   time.Time
	step   time.Duration
	millis [][]float64
	out    wire.LatencySeries
}

func newSeries(from time.Time, step time.Duration, buckets int) *series {
	return &series{from: from, step: step, millis: make([][]float64, buckets), out: wire.LatencySeries{
		From: from.UnixMilli(), Step: step.Milliseconds(),
		P50: make([]*float64, buckets), P95: make([]*float64, buckets), Fails: make([]int, buckets), Runs: make([]int, buckets),
	}}
}

// add counts a run where it ended. One that could not be asked has no latency
// and is no failure of the target.
func (s *series) add(run *core.Run) {
	i := int(run.Ended.Sub(s.from) / s.step)
	if i < 0 || i >= len(s.millis) || run.Outcome == core.Error {
		return
	}
	s.out.Runs[i]++
	if run.Outcome == core.Fail {
		s.out.Fails[i]++
	}
	if run.Latency > 0 {
		s.millis[i] = append(s.millis[i], float64(run.Latency.Microseconds())/1000)
	}
}

func (s *series) wire() wire.LatencySeries {
	for i, took := range s.millis {
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		s.out.P50[i], s.out.P95[i] = rank(took, 0.5), rank(took, 0.95)
	}
	return s.out
}

// rank is the nearest-rank percentile of sorted values.
func rank(sorted []float64, share float64) *float64 {
	return new(sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)])
}
