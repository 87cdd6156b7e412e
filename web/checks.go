package web

import (
	"context"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

func idAttr(id string) slog.Attr { return slog.String("id", id) }

// checks registers what helps to write a Check.
func (s *server) checks(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "POST /api/v1/checks/validate", id: "validate-check", summary: "Look at a check without saving it"},
		func(ctx context.Context, in *postObject[core.Check]) (*body[wire.Validated], error) {
			problems, err := s.tried(ctx, plan.Ref{Kind: store.Checks, ID: in.Body.ID}, &in.Body)
			if err != nil {
				return nil, err
			}
			return answer(wire.Validated{OK: len(problems) == 0, Problems: problems}), nil
		})
	add(s, api, failed, operation{route: "GET /api/v1/collectors", id: "collectors", summary: "What checks can use"},
		func(context.Context, *empty) (*body[wire.Page[core.CollectorInfo]], error) {
			return list(s.Collectors()), nil
		})
}

// tried is what is wrong with an object if it were saved now.
func (s *server) tried(ctx context.Context, ref plan.Ref, object any) (core.Problems, error) {
	_, problems, err := s.save(ctx, plan.Changes{Put: []any{object}}, plan.ApplyOptions{DryRun: true})
	if err != nil {
		return nil, err
	}
	return about(ref, problems), nil
}
