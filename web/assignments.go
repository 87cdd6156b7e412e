package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/series"
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

// chartPoints is about how many points a chart has: 122, so that those of a
// year are of three days.
const chartPoints = 122

type latencyInput struct {
	ID     string `path:"id" maxLength:"300"`
	Range  string `query:"range" default:"24h" doc:"how far back from now: for example 1h, 24h, 30d, 365d; at most 366d"`
	Sample string `query:"sample" maxLength:"200" doc:"a sample that is a number, instead of the latency; in its own unit, durations in ns"`
}

func (s *server) latency(ctx context.Context, in *latencyInput) (*body[wire.LatencySeries], error) {
	span, err := (&ranged{Range: in.Range}).span()
	if err != nil {
		return nil, err
	}
	if _, _, err := s.assigned(ctx, in.ID); err != nil {
		return nil, err
	}
	now := time.Now()
	chart, err := s.Series.Chart(ctx, store.ChartQuery{Assignment: in.ID, From: now.Add(-span), To: now, Points: chartPoints})
	if err != nil {
		return nil, fmt.Errorf("chart the runs of %s: %w", in.ID, err)
	}
	return answer(latencySeries(chart, in.Sample)), nil
}

// latencySeries puts a chart in columns.
func latencySeries(chart *series.Chart, sample string) wire.LatencySeries {
	n := len(chart.Points)
	out := wire.LatencySeries{
		From: chart.From.UnixMilli(), Step: chart.Step.Milliseconds(), Tier: chart.Tier.String(),
		P50: make([]*float64, n), P95: make([]*float64, n), P99: make([]*float64, n), Up: make([]*float64, n), Fails: make([]int, n), Runs: make([]int, n),
	}
	for i := range chart.Points {
		p := latencyPoint(&chart.Points[i], sample)
		out.P50[i], out.P95[i], out.P99[i], out.Up[i], out.Fails[i], out.Runs[i] = p.P50, p.P95, p.P99, p.Up, p.Fails, p.Runs
	}
	whole := chart.Whole()
	out.Whole = latencyPoint(&whole, sample)
	return out
}

// latencyPoint says a bucket in numbers for people. Runs that could not ask are
// no failures of the target, and have no latency.
func latencyPoint(b *series.Bucket, sample string) wire.LatencyPoint {
	p := wire.LatencyPoint{Runs: int(b.Asked()), Fails: int(b.Runs[core.Fail])}
	if up := b.Availability(); up >= 0 {
		p.Up = &up
	}
	values, read := &b.Latency, func(x float64) float64 { return math.Round(x/1e3) / 1e3 } // to the microsecond, in ms
	if sample != "" {
		values, read = b.Samples[sample], func(x float64) float64 { return x }
	}
	if values == nil || values.Count == 0 {
		return p
	}
	at := func(share float64) *float64 { return new(read(values.Quantile(share))) }
	p.P50, p.P95, p.P99 = at(0.5), at(0.95), at(0.99)
	return p
}
