package web

import (
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
	"github.com/tocsin-io/tocsin/web/wire"
)

// rules registers what lists, helps to write and explains rules.
func (s *server) rules(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/rules", id: "list-rules", summary: "All rules and how they do"}, s.ruleList)
	add(s, api, failed, operation{route: "POST /api/v1/rules/validate", id: "validate-rule", summary: "Look at a rule without saving it"},
		func(ctx context.Context, in *postObject[core.Rule]) (*body[wire.Validated], error) {
			v, err := s.catalog.view(ctx)
			if err != nil {
				return nil, err
			}
			problems := s.Rules.Validate(in.Body, v.systems)
			words, _ := s.Rules.Describe(in.Body.Gate)
			return answer(wire.Validated{OK: len(problems) == 0, Problems: problems, Gate: words}), nil
		})
	add(s, api, failed, operation{route: "POST /api/v1/rules/expr", id: "check-expression", summary: "Look at one expression"},
		func(ctx context.Context, in *postObject[wire.ExprCheck]) (*body[wire.ExprReport], error) {
			v, err := s.catalog.view(ctx)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			report := s.Rules.Expr(ctx, in.Body, v.systems)
			report.TookMicros = time.Since(began).Microseconds()
			return answer(report), nil
		})
	add(s, api, failed, operation{route: "POST /api/v1/rules/backtest", id: "backtest-rule", summary: "What a rule would have made of the stored changes; nothing is sent"}, s.backtest)
	add(s, api, failed, operation{route: "GET /api/v1/rules/env", id: "environment", summary: "What expressions can see", errors: []int{404}}, s.env)
	add(s, api, failed, operation{route: "GET /api/v1/rules/{id}/decisions", id: "decisions", summary: "What a rule decided, newest first"}, s.decisions)
	add(s, api, failed, operation{route: "GET /api/v1/rules/{id}/state", id: "rule-state", summary: "Where the partitions of a rule stand", errors: []int{404}},
		func(ctx context.Context, in *byID) (*body[wire.Page[wire.RuleState]], error) {
			if _, err := load[core.Rule](ctx, s, plan.Ref{Kind: store.Rules, ID: in.ID}); err != nil {
				return nil, err
			}
			return list(s.Rules.States(in.ID)), nil
		})
	add(s, api, failed, operation{route: "GET /api/v1/rules/{id}/explain", id: "explain-rule", summary: "Why a rule does, or does not, fire for a subject, and when it could", errors: []int{404}}, s.explain)
	add(s, api, failed, operation{route: "GET /api/v1/decisions/{id}", id: "decision", summary: "One decision", errors: []int{404}}, s.decision)
}

// ruleList counts the firings of all rules in one go.
func (s *server) ruleList(ctx context.Context, _ *empty) (*body[wire.Page[wire.RuleItem]], error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	fired, err := s.firedLately(ctx)
	if err != nil {
		return nil, err
	}
	quarantined := map[string]core.Problems{}
	if s.Quarantined != nil {
		quarantined = s.Quarantined()
	}
	items := make([]wire.RuleItem, 0, len(v.rules))
	for _, o := range v.objects[store.Rules] {
		got, err := stored[core.Rule](o)
		if err != nil {
			return nil, err
		}
		item := wire.RuleItem{Stored: got, Fired: fired[o.ID]}
		item.Gate, item.Demands = s.Rules.Describe(got.Object.Gate)
		for _, state := range s.Rules.States(o.ID) {
			if state.Open {
				item.Open++
			}
		}
		last, err := s.Trace.Decisions(ctx, store.DecisionQuery{Rule: o.ID, Limit: 1})
		if err != nil {
			return nil, fmt.Errorf("read the newest decision of %s: %w", o.ID, err)
		}
		if len(last) > 0 {
			item.Last = &last[0]
		}
		item.Problems = quarantined[o.ID]
		items = append(items, item)
	}
	return list(items), nil
}

// firedLately counts the firings of each rule in the last 24 h, recoveries
// not among them.
func (s *server) firedLately(ctx context.Context) (map[string]int, error) {
	since := time.Now().Add(-24 * time.Hour)
	out := map[string]int{}
	var before time.Time
	for range 10 {
		firings, err := s.Trace.Firings(ctx, store.FiringQuery{Before: before, Limit: maxPage})
		if err != nil {
			return nil, fmt.Errorf("read firings: %w", err)
		}
		for _, f := range firings {
			if f.Created.Before(since) {
				return out, nil
			}
			if !f.Recovery {
				out[f.Rule]++
			}
		}
		if len(firings) < maxPage {
			break
		}
		before = firings[len(firings)-1].Created
	}
	return out, nil
}

type envInput struct {
	Where string `query:"where" default:"when" enum:"when,while,unless,by,trigger,step,assert,match,silence" doc:"the place of the expression, as in ExprCheck"`
	Use   string `query:"use" doc:"where=assert: the collector that the assertion belongs to"`
}

func (s *server) env(_ context.Context, in *envInput) (*body[core.ExprEnv], error) {
	env, err := s.Rules.Env(in.Where, in.Use)
	if err != nil {
		return nil, problemsOf(err, "environment")
	}
	return answer(env), nil
}

type decisionsInput struct {
	ID      string   `path:"id" maxLength:"300"`
	System  string   `query:"system"`
	Verdict []string `query:"verdict" doc:"any of fire, hold, suppress, drop, recover, by comma"`
	Before  int64    `query:"before" minimum:"0"`
	Limit   int      `query:"limit" minimum:"0" maximum:"1000"`
}

func (s *server) decisions(ctx context.Context, in *decisionsInput) (*body[wire.Page[core.Decision]], error) {
	known := []core.DecisionVerdict{core.Fire, core.Hold, core.Suppress, core.Drop, core.Recover}
	verdicts, err := words("verdict", in.Verdict, known)
	if err != nil {
		return nil, err
	}
	most := limit(in.Limit)
	got, err := s.Trace.Decisions(ctx, store.DecisionQuery{Rule: in.ID, System: in.System, Verdicts: verdicts, Before: in.Before, Limit: most})
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	return paged(got, most, func(d core.Decision) int64 { return d.ID }), nil
}

type explainInput struct {
	ID     string `path:"id" maxLength:"300"`
	System string `query:"system" doc:"of a system; with check, of their assignment"`
	Check  string `query:"check"`
	Group  string `query:"group" doc:"of a group, instead of a system"`
	Limit  int    `query:"limit" minimum:"0" maximum:"1000" doc:"how many decisions; default 20"`
}

// subject is what the query names.
func (in *explainInput) subject() (core.Subject, error) {
	wrongWord := func(path, message, fix string) (core.Subject, error) {
		return core.Subject{}, wrong(core.Problems{{Path: path, Code: "subject", Message: message, Fix: fix}})
	}
	switch {
	case in.System == "" && in.Group == "":
		return wrongWord("system", "is missing", "name a system, a system and a check, or a group")
	case in.Group != "" && in.System+in.Check != "":
		return wrongWord("group", "stands beside a system or a check", "name either")
	case in.Group != "":
		return core.Subject{Kind: core.OfGroup, ID: in.Group}, nil
	case in.Check != "":
		return core.Subject{Kind: core.OfAssignment, ID: core.AssignmentID(in.System, in.Check)}, nil
	}
	return core.Subject{Kind: core.OfSystem, ID: in.System}, nil
}

func (s *server) explain(ctx context.Context, in *explainInput) (*body[core.Explanation], error) {
	if _, err := load[core.Rule](ctx, s, plan.Ref{Kind: store.Rules, ID: in.ID}); err != nil {
		return nil, err
	}
	subject, err := in.subject()
	if err != nil {
		return nil, err
	}
	if in.System != "" {
		if _, err := load[core.System](ctx, s, plan.Ref{Kind: store.Systems, ID: in.System}); err != nil {
			return nil, err
		}
	}
	out, err := s.Judge.Explain(ctx, in.ID, subject)
	if err != nil {
		return nil, fmt.Errorf("explain rule %s: %w", in.ID, err)
	}
	most := in.Limit
	if most == 0 {
		most = 20
	}
	got, err := s.Trace.Decisions(ctx, store.DecisionQuery{Rule: in.ID, System: in.System, Limit: maxPage})
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	out.Decisions = []core.Decision{}
	for _, d := range got {
		if d.Subject == subject && len(out.Decisions) < most {
			out.Decisions = append(out.Decisions, d)
		}
	}
	return answer(out), nil
}

// maxBacktest is how far back a backtest goes.
const maxBacktest = core.Duration(366 * 24 * time.Hour)

func (s *server) backtest(ctx context.Context, in *postObject[wire.BacktestAsk]) (*body[core.Backtest], error) {
	ask := in.Body
	if ask.Span < 0 || ask.Span > maxBacktest {
		return nil, wrong(core.Problems{{Path: "span", Code: "backtest", Message: fmt.Sprintf("%s is out of range", ask.Span), Fix: "write at most " + maxBacktest.String()}})
	}
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	var saved *core.Rule
	for _, o := range v.objects[store.Rules] {
		if o.ID != ask.Rule.ID {
			continue
		}
		got, err := stored[core.Rule](o)
		if err != nil {
			return nil, err
		}
		saved = &got.Object
	}
	out, err := s.Judge.Backtest(ctx, ask, saved)
	if problems, ok := errors.AsType[core.Problems](err); ok {
		return nil, wrong(problems.Under("rule"))
	}
	if err != nil {
		return nil, fmt.Errorf("backtest rule %s: %w", ask.Rule.ID, err)
	}
	return answer(out), nil
}

// paged is a page of items with the cursor of the next, if there may be one.
func paged[T any](items []T, most int, cursor func(T) int64) *body[wire.Page[T]] {
	out := list(items)
	if len(items) > 0 && len(items) >= most {
		out.Body.Next = cursor(items[len(items)-1])
	}
	return out
}

// words reads words of a query, each of which must be known.
func words[T ~string](name string, given []string, known []T) ([]T, error) {
	var out []T
	for _, w := range given {
		if w == "" {
			continue
		}
		if !slices.Contains(known, T(w)) {
			texts := make([]string, len(known))
			for i, k := range known {
				texts[i] = string(k)
			}
			return nil, wrong(core.Problems{{Path: name, Code: "word", Message: fmt.Sprintf("%q is not a %s", w, name), Fix: "write one of " + strings.Join(texts, ", ")}})
		}
		out = append(out, T(w))
	}
	return out, nil
}

type byNumber struct {
	ID int64 `path:"id" minimum:"1"`
}

func (s *server) decision(ctx context.Context, in *byNumber) (*body[core.Decision], error) {
	got, err := s.Trace.Decisions(ctx, store.DecisionQuery{Before: in.ID + 1, Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("read the decision: %w", err)
	}
	if len(got) == 0 || got[0].ID != in.ID {
		return nil, failure(http.StatusNotFound, fmt.Sprintf("there is no decision %d; old ones are deleted", in.ID))
	}
	return answer(got[0]), nil
}
