package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// episodes registers what lists and acknowledges episodes.
func (s *server) episodes(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/episodes", id: "list-episodes", summary: "Episodes that fired and are not closed"},
		func(ctx context.Context, _ *empty) (*body[wire.Page[wire.Episode]], error) {
			all, err := s.openEpisodes(ctx)
			if err != nil {
				return nil, err
			}
			return list(all), nil
		})
	add(s, api, failed, operation{route: "PUT /api/v1/episodes/{id}/acknowledgement", id: "acknowledge", summary: "Take care of an episode: it fires no more, its recovery is told", errors: []int{404}}, s.acknowledge)
	add(s, api, failed, operation{route: "DELETE /api/v1/episodes/{id}/acknowledgement", id: "unacknowledge", summary: "Take an acknowledgement back", status: http.StatusNoContent, errors: []int{404}},
		func(ctx context.Context, in *byID) (*empty, error) {
			ref := plan.Ref{Kind: store.Acknowledgements, ID: in.ID}
			if _, err := s.Catalog.Object(ctx, ref.Kind, ref.ID); err != nil {
				return nil, fmt.Errorf("acknowledgement of %q: %w", in.ID, err)
			}
			return nil, s.edit(ctx, plan.Changes{Delete: []plan.Ref{ref}}, ref, anyVersion)
		})
}

// openEpisodes lists the episodes that fired and are open, by rule.
func (s *server) openEpisodes(ctx context.Context) ([]wire.Episode, error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	out := []wire.Episode{}
	for _, r := range v.rules {
		for _, state := range s.Rules.States(r.ID) {
			if state.Fired > 0 {
				out = append(out, wire.Episode{
					Episode: state.Episode, Rule: r.ID, Title: r.Label(), Subjects: state.Subjects, Fired: state.Fired, LastAt: state.LastAt,
					Text: state.Text, Acknowledged: state.Acknowledged,
				})
			}
		}
	}
	return out, nil
}

func (s *server) acknowledge(ctx context.Context, in *putObject[wire.Acknowledge]) (*body[core.Acknowledgement], error) {
	open, err := s.openEpisodes(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(open, func(e wire.Episode) bool { return e.Episode == in.ID })
	if i < 0 {
		return nil, failure(http.StatusNotFound, fmt.Sprintf("no episode %q is open: it has closed, or never fired", in.ID))
	}
	a := core.Acknowledgement{Episode: in.ID, Rule: open[i].Rule, By: who(ctx).User, At: time.Now().UTC().Truncate(time.Second), Comment: in.Body.Comment}
	ref := plan.Ref{Kind: store.Acknowledgements, ID: in.ID}
	if err := s.edit(ctx, plan.Changes{Put: []any{&a}}, ref, anyVersion); err != nil {
		return nil, err
	}
	s.audit(ctx, "acknowledged", slog.String("episode", a.Episode), slog.String("rule", a.Rule))
	return answer(a), nil
}
