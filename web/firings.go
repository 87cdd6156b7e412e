package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// firings registers what rules did.
func (s *server) firings(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/firings", id: "firings", summary: "Firings, newest first"}, s.firingList)
	add(s, api, failed, operation{route: "GET /api/v1/firings/{id}", id: "firing", summary: "A firing and its deliveries", errors: []int{404}}, s.firing)
	add(s, api, failed, operation{route: "POST /api/v1/firings/{id}/cancel", id: "cancel-firing", summary: "Stop a firing before its next step", errors: []int{404, 409}}, s.cancel)
	add(s, api, failed, operation{route: "GET /api/v1/deliveries", id: "deliveries", summary: "Deliveries of all firings, newest first"}, s.deliveryList)
	add(s, api, failed, operation{route: "POST /api/v1/deliveries/{id}/resend", id: "resend-delivery", summary: "Try a dead delivery again, with the same key", status: http.StatusNoContent, errors: []int{404, 409}}, s.resend)
}

type firingsInput struct {
	Rule   string   `query:"rule"`
	Status []string `query:"status" doc:"any of queued, running, done, failed, cancelled, by comma"`
	Before int64    `query:"before" minimum:"0" doc:"created before, ms; as next says"`
	Limit  int      `query:"limit" minimum:"0" maximum:"1000"`
}

func (s *server) firingList(ctx context.Context, in *firingsInput) (*body[wire.Page[core.Firing]], error) {
	known := []core.FiringStatus{core.FiringQueued, core.FiringRunning, core.FiringDone, core.FiringFailed, core.FiringCancelled}
	status, err := words("status", in.Status, known)
	if err != nil {
		return nil, err
	}
	q := store.FiringQuery{Rule: in.Rule, Status: status, Limit: limit(in.Limit)}
	if in.Before > 0 {
		q.Before = time.UnixMilli(in.Before)
	}
	items, next, err := s.firingPage(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("read firings: %w", err)
	}
	out := list(items)
	out.Body.Next = next
	return out, nil
}

// firingPage is a page of firings and the cursor of the next, which is when
// the firings before it were created. One turn of the rules creates many at
// the same instant, so a page ends between instants: it may be shorter than
// asked for, and longer when all of it is of one.
func (s *server) firingPage(ctx context.Context, q store.FiringQuery) ([]core.Firing, int64, error) {
	got, err := s.Trace.Firings(ctx, q)
	if err != nil || len(got) < q.Limit {
		return got, 0, err //nolint:wrapcheck // the caller says what it did
	}
	last := got[len(got)-1].Created.UnixMilli()
	cut := slices.IndexFunc(got, func(f core.Firing) bool { return f.Created.UnixMilli() == last })
	if cut > 0 {
		return got[:cut], last + 1, nil
	}
	q.Limit = maxPage
	if got, err = s.Trace.Firings(ctx, q); err != nil {
		return nil, 0, err //nolint:wrapcheck // the caller says what it did
	}
	if cut = slices.IndexFunc(got, func(f core.Firing) bool { return f.Created.UnixMilli() != last }); cut > 0 {
		got = got[:cut]
	}
	return got, last, nil
}

func (s *server) firing(ctx context.Context, in *byID) (*body[wire.FiringDetail], error) {
	f, err := s.Firings.Firing(ctx, in.ID)
	if err != nil {
		return nil, fmt.Errorf("firing %q: %w", in.ID, err)
	}
	deliveries, err := s.Trace.Deliveries(ctx, in.ID, nil, maxPage)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return answer(wire.FiringDetail{Firing: f, Deliveries: deliveries}), nil
}

func (s *server) cancel(ctx context.Context, in *byID) (*body[core.Firing], error) {
	f, err := s.Firings.Firing(ctx, in.ID)
	if err != nil {
		return nil, fmt.Errorf("firing %q: %w", in.ID, err)
	}
	did, err := s.Firings.Cancel(ctx, in.ID, time.Now())
	if err != nil {
		return nil, fmt.Errorf("cancel %q: %w", in.ID, err)
	}
	if !did {
		return nil, failure(http.StatusConflict, fmt.Sprintf("the firing is %s already", f.Status))
	}
	s.audit(ctx, "cancel firing", idAttr(in.ID))
	if f, err = s.Firings.Firing(ctx, in.ID); err != nil {
		return nil, fmt.Errorf("firing %q: %w", in.ID, err)
	}
	return answer(f), nil
}

type deliveriesInput struct {
	Status []string `query:"status" doc:"any of waiting, running, done, skipped, dead, cancelled, by comma"`
	Limit  int      `query:"limit" minimum:"0" maximum:"1000"`
}

func (s *server) deliveryList(ctx context.Context, in *deliveriesInput) (*body[wire.Page[core.Delivery]], error) {
	known := []core.DeliveryStatus{
		core.DeliveryWaiting, core.DeliveryRunning, core.DeliveryDone, core.DeliverySkipped, core.DeliveryDead, core.DeliveryCancelled,
	}
	status, err := words("status", in.Status, known)
	if err != nil {
		return nil, err
	}
	got, err := s.Trace.Deliveries(ctx, "", status, limit(in.Limit))
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return list(got), nil
}

func (s *server) resend(ctx context.Context, in *byNumber) (*empty, error) {
	if err := s.Deliveries.Resend(ctx, in.ID); err != nil {
		if isConflict(err) {
			return nil, failure(http.StatusConflict, "only a dead delivery can be sent again")
		}
		return nil, fmt.Errorf("delivery %d: %w", in.ID, err)
	}
	s.audit(ctx, "resend delivery", idAttr(strconv.FormatInt(in.ID, 10)))
	return nil, nil //nolint:nilnil // an answer without a body
}
