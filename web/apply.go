package web

import (
	"context"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/web/wire"
)

type applyInput struct {
	DryRun      bool   `query:"dry_run" doc:"say what would happen, and change nothing"`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/yaml"`
}

// applying registers the route that takes manifests.
func (s *server) applying(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{
		route: "POST /api/v1/apply", id: "apply", summary: "Create or replace what YAML documents describe, all or nothing", body: MaxApply, errors: []int{409, 413, 415},
	}, s.apply)
}

func (s *server) apply(ctx context.Context, in *applyInput) (*body[wire.Applied], error) {
	kind, _, err := mime.ParseMediaType(in.ContentType)
	if known := []string{"application/yaml", "application/x-yaml", "text/yaml", "application/json"}; err != nil || !slices.Contains(known, kind) {
		return nil, failure(http.StatusUnsupportedMediaType, "send application/yaml")
	}
	items, problems := manifest.Decode("", in.RawBody)
	if len(problems) > 0 {
		return nil, wrong(problems)
	}
	var changes plan.Changes
	for _, it := range items {
		changes.Put = append(changes.Put, it.Object)
	}
	applied, problems, err := s.save(ctx, changes, plan.ApplyOptions{DryRun: in.DryRun})
	if err != nil {
		return nil, err
	}
	if len(problems) > 0 {
		return nil, wrong(locate(items, problems))
	}
	return answer(wire.Applied{Items: applied, DryRun: in.DryRun}), nil
}

// locate gives problems the line and column where their object stands. Those
// of objects that are not in the manifests keep the name of their object.
func locate(items []manifest.Item, problems core.Problems) core.Problems {
	for i, p := range problems {
		for _, it := range items {
			if strings.EqualFold(p.Object, it.Kind+":"+it.ID) {
				problems[i] = it.Locate(p)
				problems[i].Object = ""
			}
		}
	}
	return problems
}
