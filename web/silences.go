package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
)

// begin gives a silence that is created alone an id and a start.
func begin(s *core.Silence, now time.Time) {
	if s.Starts.IsZero() {
		s.Starts = now.UTC().Truncate(time.Second)
	}
	if s.ID == "" {
		s.ID = "silence-" + now.UTC().Format("20060102-150405") + "-" + strings.ToLower(rand.Text()[:6])
	}
}

// silences registers what silences have besides other objects.
func (s *server) silences(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "POST /api/v1/silences/preview", id: "preview-silence", summary: "What a silence would match now, without saving it"}, s.previewSilence)
	add(s, api, failed, operation{route: "POST /api/v1/silences/{id}/expire", id: "expire-silence", summary: "End a silence now; one that has not begun is deleted", errors: []int{404, 409}}, s.expireSilence)
}

func (s *server) previewSilence(ctx context.Context, in *postObject[core.Silence]) (*body[core.SilencePreview], error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	begin(&in.Body, time.Now())
	ref := plan.Ref{Kind: store.Silences, ID: in.Body.ID}
	_, problems, err := s.Saver.Apply(ctx, plan.Changes{Put: []any{&in.Body}}, plan.ApplyOptions{DryRun: true, By: who(ctx).User, Now: time.Now()})
	if err != nil {
		return nil, fmt.Errorf("check the silence: %w", err)
	}
	if len(problems) > 0 {
		return nil, wrong(about(ref, problems))
	}
	return answer(s.Rules.PreviewSilence(in.Body, v.systems, v.checks, v.rules)), nil
}

func (s *server) expireSilence(ctx context.Context, in *byID) (*versioned[core.Silence], error) {
	ref := plan.Ref{Kind: store.Silences, ID: in.ID}
	got, err := load[core.Silence](ctx, s, ref)
	if err != nil {
		return nil, err
	}
	silence, now := got.Body.Object, time.Now().UTC()
	switch {
	case !silence.Ends.After(now):
		return got, nil // it has ended
	case silence.Starts.Before(now):
		silence.Ends = now
		return save(ctx, s, ref, &silence, got.Body.Version)
	}
	silence.Ends = silence.Starts
	got.Body.Object, got.ETag = silence, strconv.Quote(strconv.FormatInt(got.Body.Version, 10))
	return got, s.edit(ctx, plan.Changes{Delete: []plan.Ref{ref}}, ref, got.Body.Version)
}
