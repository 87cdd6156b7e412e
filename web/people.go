package web

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// people registers what a caller can ask about itself and the instance.
func (s *server) people(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/me", id: "me", summary: "Who the caller is"},
		func(ctx context.Context, _ *empty) (*body[wire.Me], error) { return answer(who(ctx).Me), nil })
	add(s, api, failed, operation{route: "POST /api/v1/logout", id: "logout", summary: "End the caller's session and its sockets", status: http.StatusNoContent},
		s.logout)
	add(s, api, failed, operation{route: "GET /api/v1/instance", id: "instance", summary: "How this instance does"}, s.instance)
	add(s, api, failed, operation{route: "GET /api/v1/limits", id: "limits", summary: "Every limit that a caller can meet"}, s.limits)
}

type loggedOut struct {
	SetCookie string `header:"Set-Cookie"`
	Clear     string `header:"Clear-Site-Data"`
}

func (s *server) logout(ctx context.Context, _ *empty) (*loggedOut, error) {
	if err := s.signOut(ctx); err != nil {
		return nil, err
	}
	gone := http.Cookie{Name: cookieName, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: -1} //nolint:gosec // it holds nothing
	return &loggedOut{SetCookie: gone.String(), Clear: `"cache"`}, nil
}

func (s *server) instance(ctx context.Context, _ *empty) (*body[wire.Instance], error) {
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	return answer(wire.Instance{
		Version: s.o.Version, Started: s.o.Started, Demo: s.o.Demo,
		Systems: len(v.systems), Checks: len(v.checks), Assignments: len(v.assignments), Rules: len(v.rules),
		Engine: s.Engine.Stats(),
	}), nil
}

func (s *server) limits(context.Context, *empty) (*body[wire.LimitList], error) {
	o := s.Hub.Options()
	return answer(wire.LimitList{
		BodyBytes: MaxBody, ApplyBytes: MaxApply, ModuleBytes: MaxModule, PageItems: maxPage,
		Sockets: o.PerInstance, SocketsSession: o.PerSession, Subscriptions: o.Subs, VisibleRows: live.MaxRows, FrameBytes: live.MaxFrame,
		SignInsPerMinute: s.o.SignIns, SessionIdle: core.Duration(SessionIdle), SessionAge: core.Duration(SessionAge),
		TestTimeout: core.Duration(s.o.TestTimeout),
		Module:      core.DefaultLimits(),
		ModuleMost:  core.MaxLimits(), ModuleKVCalls: core.MaxKVCalls,
	}), nil
}
