package web

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
)

// channels registers what channels have besides other objects.
func (s *server) channels(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "POST /api/v1/channels/{id}/test", id: "test-channel", summary: "Send a test message to a channel, and wait until it is taken", status: http.StatusNoContent, errors: []int{404, 502}},
		func(ctx context.Context, in *byID) (*empty, error) {
			if _, err := load[core.Channel](ctx, s, plan.Ref{Kind: store.Channels, ID: in.ID}); err != nil {
				return nil, err
			}
			if s.TestChannel == nil {
				return nil, failure(http.StatusBadGateway, "there is nothing that sends here")
			}
			s.audit(ctx, "tested", slog.String("kind", "channel"), slog.String("id", in.ID))
			if err := s.TestChannel(ctx, in.ID, who(ctx).User); err != nil {
				return nil, failure(http.StatusBadGateway, "the channel did not take it: "+err.Error())
			}
			return nil, nil //nolint:nilnil // there is no body
		})
}
