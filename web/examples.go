package web

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// examples registers what is about the modules that come with Tocsin.
func (s *server) examples(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/examples", id: "examples", summary: "Modules that come with Tocsin, to try at once"},
		func(context.Context, *empty) (*body[wire.Page[string]], error) {
			return list(slices.Sorted(maps.Keys(s.Examples))), nil
		})
	add(s, api, failed, operation{route: "POST /api/v1/examples/{name}", id: "use-example", summary: "Store a module that comes with Tocsin, as if it were uploaded", errors: []int{404, 409}}, s.useExample)
}

func (s *server) useExample(ctx context.Context, in *byName) (*body[wire.ModuleReview], error) {
	open := s.Examples[in.Name]
	if open == nil {
		return nil, failure(http.StatusNotFound, fmt.Sprintf("there is no example %q", in.Name))
	}
	file, err := open()
	if err != nil {
		return nil, fmt.Errorf("open the example %s: %w", in.Name, err)
	}
	m, err := s.Modules.Inspect(ctx, file)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, problemsOf(err, "module")
	}
	return s.review(ctx, core.KindOf(file), m, file, false)
}
