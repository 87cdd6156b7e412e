package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

// fleet registers what shows the health of Systems.
func (s *server) fleet(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/fleet", id: "fleet", summary: "Health of all systems, in columns"}, s.snapshot)
	snapshot := api.OpenAPI().Paths["/api/v1/fleet"].Get.Responses["200"]
	snapshot.Content = map[string]*huma.MediaType{"application/json": {Schema: api.OpenAPI().Components.Schemas.Schema(typeOf[wire.Fleet](), true, "Fleet")}}
	add(s, api, failed, operation{route: "GET /api/v1/systems/{id}/detail", id: "system-detail", summary: "What the page of a system shows", errors: []int{404}}, s.detail)
	add(s, api, failed, operation{route: "GET /api/v1/systems/{id}/timeline", id: "system-timeline", summary: "Health of a system over time", errors: []int{404}}, s.timeline)
}

type snapshotInput struct {
	IfNoneMatch    string `header:"If-None-Match"`
	AcceptEncoding string `header:"Accept-Encoding"`
}

type snapshotOutput struct {
	Status          int
	ContentType     string `header:"Content-Type"`
	ContentEncoding string `header:"Content-Encoding"`
	ETag            string `header:"ETag"`
	CacheControl    string `header:"Cache-Control"`
	Vary            string `header:"Vary"`
	Body            []byte
}

// snapshot answers from the memory of the hub.
func (s *server) snapshot(ctx context.Context, in *snapshotInput) (*snapshotOutput, error) {
	select {
	case <-s.Hub.Loaded():
	case <-time.After(5 * time.Second):
		return nil, huma.ErrorWithHeaders(failure(http.StatusServiceUnavailable, "the health of systems is being read; try again"), http.Header{"Retry-After": {"1"}})
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	got := s.Hub.Fleet()
	out := &snapshotOutput{
		Status: http.StatusOK, ContentType: "application/json", ETag: got.ETag(), CacheControl: "private, no-cache", Vary: "Accept-Encoding, Cookie",
	}
	switch {
	case slices.ContainsFunc(strings.Split(in.IfNoneMatch, ","), func(tag string) bool { return strings.TrimPrefix(strings.TrimSpace(tag), "W/") == got.ETag() }):
		out.Status = http.StatusNotModified
	case acceptsGzip(in.AcceptEncoding):
		out.Body, out.ContentEncoding = got.Gzip, "gzip"
	default:
		out.Body = got.JSON
	}
	return out, nil
}

// acceptsGzip reads Accept-Encoding as far as it matters: gzip by name and not
// refused with q=0.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.TrimSpace(name) == "gzip" {
			q := strings.TrimSpace(params)
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}

// detail gathers what the page of a System shows.
func (s *server) detail(ctx context.Context, in *byID) (*body[wire.SystemDetail], error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	o, ok := v.object(plan.Ref{Kind: store.Systems, ID: in.ID})
	if !ok {
		return nil, noSystem(in.ID)
	}
	got, err := stored[core.System](o)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	out := wire.SystemDetail{System: got.Object, Version: got.Version, Now: now, Uptime: map[string]float64{}}
	if out.Rolled, out.Flags, err = s.rolled(ctx, in.ID); err != nil {
		return nil, err
	}
	out.Headline = out.Rolled.Why
	if out.Checks, err = s.systemChecks(ctx, v, in.ID); err != nil {
		return nil, err
	}
	out.Rolled.HealthyChecks, out.Rolled.TotalChecks = counted(out.Checks)
	if out.Transitions, err = s.History.Transitions(ctx, store.TransitionQuery{System: in.ID, Limit: 50}); err != nil {
		return nil, fmt.Errorf("read transitions: %w", err)
	}
	if out.Rules, err = s.systemRules(ctx, v, in.ID); err != nil {
		return nil, err
	}
	return answer(out), s.uptime(ctx, in.ID, now, out.Uptime)
}

func noSystem(id string) error {
	return failure(http.StatusNotFound, fmt.Sprintf("there is no system %q", id))
}

// rolled is the health of a System: as the hub knows it, which is a moment
// behind, because the storage has no way to ask for one System.
func (s *server) rolled(ctx context.Context, id string) (core.Rolled, int, error) {
	if r, flags, ok := s.Hub.Rolled(id); ok {
		return r, flags, nil
	}
	subject := core.Subject{Kind: core.OfSystem, ID: id}
	all, err := s.Ledger.Rolled(ctx)
	if err != nil {
		return core.Rolled{}, 0, fmt.Errorf("read the health of systems: %w", err)
	}
	for _, r := range all {
		if r.Subject == subject {
			return r, 0, nil
		}
	}
	return core.Rolled{Subject: subject, Why: core.Because("unwatched", "no check watches it")}, 0, nil
}

// systemChecks gathers the Assignments of a System, worst first.
func (s *server) systemChecks(ctx context.Context, v *view, id string) ([]wire.SystemCheck, error) {
	var out []wire.SystemCheck
	for _, a := range v.bySystem[id] {
		standing, err := s.Ledger.Standing(ctx, a.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("read the standing of %s: %w", a.ID, err)
		}
		runs, err := s.History.Runs(ctx, store.RunQuery{Assignment: a.ID, Limit: 30})
		if err != nil {
			return nil, fmt.Errorf("read the runs of %s: %w", a.ID, err)
		}
		c := wire.SystemCheck{Assignment: a, Check: a.Check, Standing: standing, Progress: standing.Progress(a.Policy), Ring: ring(runs)}
		if check, ok := v.check(a.Check); ok {
			c.Check = check.Label()
			for _, step := range check.Collect {
				c.Collectors = append(c.Collectors, step.Use)
			}
		}
		if len(runs) > 0 {
			c.Last = &runs[0]
		}
		if next := s.Engine.Next(a.ID); !next.IsZero() {
			c.Next = &next
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b wire.SystemCheck) int { return cmp.Compare(severity(b), severity(a)) })
	return out, nil
}

// counted is how many of the checks are healthy, of those that are enabled.
func counted(checks []wire.SystemCheck) (healthy, total int) {
	for _, c := range checks {
		if !c.Assignment.Enabled {
			continue
		}
		total++
		if c.Standing.Health == core.Healthy {
			healthy++
		}
	}
	return healthy, total
}

func severity(c wire.SystemCheck) int {
	if !c.Assignment.Enabled {
		return -1
	}
	return c.Standing.Health.Severity()
}

// ring is the outcomes of runs that are given newest first.
func ring(runs []core.Run) string {
	b := make([]byte, 0, len(runs))
	for _, r := range slices.Backward(runs) {
		b = append(b, r.Outcome.String()[0])
	}
	return string(b)
}

// systemRules lists the rules that looked at a System lately or wait on it.
func (s *server) systemRules(ctx context.Context, v *view, id string) ([]wire.SystemRule, error) {
	decisions, err := s.Trace.Decisions(ctx, store.DecisionQuery{System: id, Limit: 200})
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	newest := map[string]*core.Decision{}
	for i := range decisions {
		if newest[decisions[i].Rule] == nil {
			newest[decisions[i].Rule] = &decisions[i]
		}
	}
	var out []wire.SystemRule
	for _, rule := range v.rules {
		item := wire.SystemRule{Rule: rule.ID, Name: rule.Label(), State: "quiet", Decision: newest[rule.ID]}
		waits := false
		for _, state := range s.Rules.States(rule.ID) {
			if slices.ContainsFunc(state.Subjects, func(sub core.Subject) bool { return systemOf(sub) == id }) {
				item.State, item.Open, waits = state.Text, item.Open || state.Open, true
			}
		}
		if rule.Disabled {
			item.State = "disabled"
		}
		if waits || item.Decision != nil {
			out = append(out, item)
		}
	}
	return out, nil
}

// systemOf is the System that a subject is, or belongs to.
func systemOf(subject core.Subject) string {
	switch subject.Kind {
	case core.OfSystem:
		return subject.ID
	case core.OfAssignment:
		id, _ := core.SplitAssignmentID(subject.ID)
		return id
	case core.OfGroup:
	}
	return ""
}

// uptime fills the shares of the spans that the page shows.
func (s *server) uptime(ctx context.Context, id string, now time.Time, into map[string]float64) error {
	spans := map[string]time.Duration{"1h": time.Hour, "24h": 24 * time.Hour, "7d": 7 * 24 * time.Hour, "30d": 30 * 24 * time.Hour}
	moves, before, err := live.Since(ctx, s.History, core.Subject{Kind: core.OfSystem, ID: id}, now.Add(-spans["30d"]))
	if err != nil {
		return fmt.Errorf("read the history of %s: %w", id, err)
	}
	for name, span := range spans {
		into[name] = live.Share(live.Spans(moves, before, now.Add(-span), now))
	}
	return nil
}

// ranged is the input of a route that shows a stretch of time up to now.
type ranged struct {
	ID    string `path:"id" maxLength:"300"`
	Range string `query:"range" default:"24h" doc:"how far back from now: for example 1h, 24h, 7d; at most 366d"`
}

const mostRange = 366 * 24 * time.Hour

func (r *ranged) span() (time.Duration, error) {
	d, err := core.ParseDuration(r.Range)
	if err == nil && (d.Std() < time.Minute || d.Std() > mostRange) {
		err = fmt.Errorf("%s is not from 1m to 366d", r.Range)
	}
	if err != nil {
		return 0, wrong(core.Problems{{Path: "range", Code: "range", Message: err.Error(), Fix: "write for example 1h, 24h, 7d or 30d"}})
	}
	return d.Std(), nil
}

func (s *server) timeline(ctx context.Context, in *ranged) (*body[wire.SpanSeries], error) {
	span, err := in.span()
	if err != nil {
		return nil, err
	}
	if _, err := s.Catalog.Object(ctx, store.Systems, in.ID); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil, noSystem(in.ID)
		}
		return nil, fmt.Errorf("find the system: %w", err)
	}
	now := time.Now()
	from := now.Add(-span)
	moves, before, err := live.Since(ctx, s.History, core.Subject{Kind: core.OfSystem, ID: in.ID}, from)
	if err != nil {
		return nil, fmt.Errorf("read the history of %s: %w", in.ID, err)
	}
	return answer(wire.SpanSeries{From: from, To: now, Spans: live.Spans(moves, before, from, now)}), nil
}
