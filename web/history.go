package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

func isConflict(err error) bool { return errors.Is(err, store.ErrConflict) }

// history registers what happened.
func (s *server) history(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/runs", id: "runs", summary: "Runs, newest first"}, s.runList)
	add(s, api, failed, operation{route: "GET /api/v1/runs/{id}", id: "run", summary: "One run with all its detail", errors: []int{404}},
		func(ctx context.Context, in *byNumber) (*body[core.Run], error) {
			run, err := s.History.Run(ctx, in.ID)
			if errors.Is(err, store.ErrNotFound) {
				return nil, failure(http.StatusNotFound, fmt.Sprintf("there is no run %d; old ones are deleted", in.ID))
			}
			if err != nil {
				return nil, fmt.Errorf("read the run: %w", err)
			}
			return answer(run), nil
		})
	add(s, api, failed, operation{route: "GET /api/v1/runs/{id}/recordings/{step}", id: "run-recording", summary: "What a step of a run depended on, to replay it", errors: []int{404}}, s.recording)
	add(s, api, failed, operation{route: "POST /api/v1/runs/{id}/replay", id: "replay-run", summary: "Repeat a recorded run in the sandbox; nothing is reached or stored", errors: []int{404}}, s.replayRun)
	add(s, api, failed, operation{route: "GET /api/v1/transitions", id: "transitions", summary: "Changes of health, newest first"}, s.transitionList)
}

type runsInput struct {
	System     string    `query:"system"`
	Assignment string    `query:"assignment"`
	Outcome    []string  `query:"outcome" doc:"any of pass, warn, fail, error, by comma"`
	Before     int64     `query:"before" minimum:"0" doc:"id"`
	Since      time.Time `query:"since"`
	Limit      int       `query:"limit" minimum:"0" maximum:"1000"`
	Details    bool      `query:"details" doc:"steps and samples too"`
}

func (s *server) runList(ctx context.Context, in *runsInput) (*body[wire.Page[core.Run]], error) {
	q := store.RunQuery{
		System: in.System, Assignment: in.Assignment, Before: in.Before, Since: in.Since, Limit: limit(in.Limit), WithDetails: in.Details,
	}
	for _, w := range in.Outcome {
		var o core.Outcome
		if err := o.UnmarshalText([]byte(w)); err != nil {
			return nil, wrong(core.Problems{{Path: "outcome", Code: "word", Message: err.Error()}})
		}
		q.Outcomes = append(q.Outcomes, o)
	}
	got, err := s.History.Runs(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return paged(got, q.Limit, func(r core.Run) int64 { return r.ID }), nil
}

type transitionsInput struct {
	System  string    `query:"system" doc:"of this system and its assignments"`
	Kind    string    `query:"kind" enum:"assignment,system,group" doc:"of the subject"`
	Subject string    `query:"subject" doc:"id of the subject; needs kind"`
	Before  int64     `query:"before" minimum:"0" doc:"seq"`
	Since   time.Time `query:"since"`
	Limit   int       `query:"limit" minimum:"0" maximum:"1000"`
}

func (s *server) transitionList(ctx context.Context, in *transitionsInput) (*body[wire.Page[core.Transition]], error) {
	if in.Subject != "" && in.Kind == "" {
		return nil, wrong(core.Problems{{Path: "kind", Code: "required", Message: "a subject needs its kind", Fix: "write kind=system, assignment or group"}})
	}
	q := store.TransitionQuery{
		Subject: core.Subject{Kind: core.SubjectKind(in.Kind), ID: in.Subject}, System: in.System, Before: in.Before, Since: in.Since, Limit: limit(in.Limit),
	}
	got, err := s.History.Transitions(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read transitions: %w", err)
	}
	return paged(got, q.Limit, func(t core.Transition) int64 { return t.Seq }), nil
}
