package web

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// kind is what the five routes of one kind of object differ in.
type kind[T any] struct {
	kind store.Kind
	one  string // its name in English
	path string
	id   func(*T) string
	fill func(*T, time.Time) // gives one that is created what it leaves out; nil: nothing
}

// objects registers the routes that read and write what people wrote.
func (s *server) objects(api huma.API, failed *huma.Schema) {
	systems := kind[core.System]{store.Systems, "system", "systems", func(o *core.System) string { return o.ID }, nil}
	checks := kind[core.Check]{store.Checks, "check", "checks", func(o *core.Check) string { return o.ID }, nil}
	rules := kind[core.Rule]{store.Rules, "rule", "rules", func(o *core.Rule) string { return o.ID }, nil}
	maintenances := kind[core.Maintenance]{store.Maintenances, "maintenance", "maintenances", func(o *core.Maintenance) string { return o.ID }, nil}
	silences := kind[core.Silence]{store.Silences, "silence", "silences", func(o *core.Silence) string { return o.ID }, begin}
	routesOf(s, api, failed, systems)
	routesOf(s, api, failed, checks)
	routesOf(s, api, failed, rules)
	routesOf(s, api, failed, maintenances)
	routesOf(s, api, failed, silences)
	channels := kind[core.Channel]{store.Channels, "channel", "channels", func(o *core.Channel) string { return o.ID }, nil}
	routesOf(s, api, failed, channels)
	listOf(s, api, failed, channels)
	s.channels(api, failed)
	listOf(s, api, failed, systems)
	listOf(s, api, failed, checks)
	listOf(s, api, failed, maintenances)
	listOf(s, api, failed, silences)
	s.silences(api, failed)
	s.episodes(api, failed)
}

// versioned is one object with its version as entity tag.
type versioned[T any] struct {
	ETag string `header:"ETag"`
	Body wire.Stored[T]
}

func listOf[T any](s *server, api huma.API, failed *huma.Schema, k kind[T]) {
	add(s, api, failed, operation{route: "GET /api/v1/" + k.path, id: "list-" + k.path, summary: "All " + k.path},
		func(ctx context.Context, _ *empty) (*body[wire.Page[wire.Stored[T]]], error) {
			v, err := s.catalog.view(ctx)
			if err != nil {
				return nil, err
			}
			items := make([]wire.Stored[T], len(v.objects[k.kind]))
			for i, o := range v.objects[k.kind] {
				if items[i], err = stored[T](o); err != nil {
					return nil, err
				}
			}
			return list(items), nil
		})
}

// stored is a stored object as it is sent.
func stored[T any](o store.Object) (wire.Stored[T], error) {
	out := wire.Stored[T]{Version: o.Version, Created: o.Created, Updated: o.Updated, By: o.By}
	if err := json.Unmarshal(o.Body, &out.Object); err != nil {
		return out, fmt.Errorf("decode the %s %s: %w", o.Kind, o.ID, err)
	}
	return out, nil
}

// input of the routes that write one object.
type putObject[T any] struct {
	ID      string `path:"id" maxLength:"300"`
	IfMatch string `header:"If-Match" doc:"version that was read; without it whatever is stored is replaced"`
	Body    T
}

type postObject[T any] struct {
	Body T
}

type deleteObject struct {
	ID      string `path:"id" maxLength:"300"`
	IfMatch string `header:"If-Match" doc:"version that was read"`
}

func routesOf[T any](s *server, api huma.API, failed *huma.Schema, k kind[T]) {
	at := "/api/v1/" + k.path
	add(s, api, failed, operation{route: "POST " + at, id: "create-" + k.one, summary: "Create a " + k.one, status: http.StatusCreated, errors: []int{409}},
		func(ctx context.Context, in *postObject[T]) (*versioned[T], error) {
			if k.fill != nil {
				k.fill(&in.Body, time.Now())
			}
			ref := plan.Ref{Kind: k.kind, ID: k.id(&in.Body)}
			out, err := save(ctx, s, ref, &in.Body, 0)
			if isConflict(err) {
				return nil, failure(http.StatusConflict, fmt.Sprintf("there is a %s %q already", k.one, ref.ID))
			}
			return out, err
		})
	add(s, api, failed, operation{route: "GET " + at + "/{id}", id: "get-" + k.one, summary: "One " + k.one, errors: []int{404}},
		func(ctx context.Context, in *byID) (*versioned[T], error) {
			return load[T](ctx, s, plan.Ref{Kind: k.kind, ID: in.ID})
		})
	add(s, api, failed, operation{route: "PUT " + at + "/{id}", id: "put-" + k.one, summary: "Create or replace a " + k.one, errors: []int{412}},
		func(ctx context.Context, in *putObject[T]) (*versioned[T], error) {
			ref := plan.Ref{Kind: k.kind, ID: in.ID}
			if id := k.id(&in.Body); id != in.ID {
				return nil, wrong(core.Problems{{
					Path: "id", Code: "id", Message: fmt.Sprintf("the path says %q and the body says %q", in.ID, id),
					Fix: "a " + k.one + " cannot be renamed; create another and delete this one, or change its name for people",
				}})
			}
			version, err := s.match(ctx, ref, in.IfMatch)
			if err != nil {
				return nil, err
			}
			return save(ctx, s, ref, &in.Body, version)
		})
	add(s, api, failed, operation{route: "DELETE " + at + "/{id}", id: "delete-" + k.one, summary: "Delete a " + k.one, status: http.StatusNoContent, errors: []int{404, 412}},
		func(ctx context.Context, in *deleteObject) (*empty, error) {
			ref := plan.Ref{Kind: k.kind, ID: in.ID}
			if _, err := load[T](ctx, s, ref); err != nil {
				return nil, err
			}
			version, err := s.match(ctx, ref, in.IfMatch)
			if err != nil {
				return nil, err
			}
			return nil, s.edit(ctx, plan.Changes{Delete: []plan.Ref{ref}}, ref, version)
		})
}

func load[T any](ctx context.Context, s *server, ref plan.Ref) (*versioned[T], error) {
	o, err := s.Catalog.Object(ctx, ref.Kind, ref.ID)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", ref.Kind, ref.ID, err)
	}
	got, err := stored[T](o)
	if err != nil {
		return nil, err
	}
	return &versioned[T]{ETag: strconv.Quote(strconv.FormatInt(got.Version, 10)), Body: got}, nil
}

// save writes one object and reads it back.
func save[T any](ctx context.Context, s *server, ref plan.Ref, object *T, version int64) (*versioned[T], error) {
	if err := s.edit(ctx, plan.Changes{Put: []any{object}}, ref, version); err != nil {
		return nil, err
	}
	return load[T](ctx, s, ref)
}

// match is the version that If-Match asks for, anyVersion when for none; an
// error when it is not the one stored.
func (s *server) match(ctx context.Context, ref plan.Ref, header string) (int64, error) {
	text := strings.Trim(strings.TrimPrefix(strings.TrimSpace(header), "W/"), `"`)
	if text == "" {
		return anyVersion, nil
	}
	o, err := s.Catalog.Object(ctx, ref.Kind, ref.ID)
	if err != nil {
		return 0, fmt.Errorf("%s %q: %w", ref.Kind, ref.ID, err)
	}
	if text == "*" {
		return o.Version, nil
	}
	asked, err := strconv.ParseInt(text, 10, 64)
	if err != nil || asked <= 0 {
		return 0, failure(http.StatusUnprocessableEntity, fmt.Sprintf("If-Match: %.40q is not a version; write the number that GET answered", header))
	}
	if asked != o.Version {
		return 0, changed(ref, asked, o)
	}
	return asked, nil
}

func changed(ref plan.Ref, asked int64, o store.Object) *httpError {
	f := failure(http.StatusPreconditionFailed, fmt.Sprintf("the %s %s was changed by %s: it is at version %d and not %d any more", ref.Kind, ref.ID, by(o.By), o.Version, asked))
	f.Version = o.Version
	return f
}

func by(name string) string {
	if name == "" {
		return "somebody else"
	}
	return name
}

// anyVersion is a version of a ref that need not be checked.
const anyVersion = -1

// edit makes changes that are about one object, which must still have the
// version; 0: it must not exist.
func (s *server) edit(ctx context.Context, changes plan.Changes, ref plan.Ref, version int64) error {
	var must map[string]int64
	if version != anyVersion {
		must = map[string]int64{ref.String(): version}
	}
	_, problems, err := s.save(ctx, changes, plan.ApplyOptions{IfVersion: must})
	if isConflict(err) && version > 0 {
		if o, missing := s.Catalog.Object(ctx, ref.Kind, ref.ID); missing == nil {
			return changed(ref, version, o)
		}
	}
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return wrong(about(ref, problems))
	}
	return nil
}

// about leaves the name of the object out of problems that are about it.
func about(ref plan.Ref, problems core.Problems) core.Problems {
	for i := range problems {
		if problems[i].Object == ref.String() {
			problems[i].Object = ""
		}
	}
	return problems
}

// save makes changes in the caller's name and notes in the log who did what.
func (s *server) save(ctx context.Context, changes plan.Changes, o plan.ApplyOptions) ([]wire.AppliedItem, core.Problems, error) {
	o.Now, o.By = time.Now(), who(ctx).User
	items, problems, err := s.Saver.Apply(ctx, changes, o)
	if err != nil {
		return nil, nil, fmt.Errorf("save: %w", err)
	}
	if len(problems) > 0 {
		return nil, problems, nil
	}
	out := make([]wire.AppliedItem, len(items))
	for i, it := range items {
		out[i] = wire.AppliedItem{Kind: string(it.Kind), ID: it.ID, Action: it.Action}
		if !o.DryRun && it.Action != plan.Unchanged {
			s.audit(ctx, it.Action, slog.String("kind", string(it.Kind)), slog.String("id", it.ID), slog.Int64("version", it.Version))
		}
	}
	return out, nil, nil
}

// audit notes who did what.
func (s *server) audit(ctx context.Context, what string, attrs ...slog.Attr) {
	all := append([]slog.Attr{slog.String("what", what), slog.String("user", who(ctx).User), slog.String("request", requestID(ctx))}, attrs...)
	s.Logger.LogAttrs(ctx, slog.LevelInfo, "audit", all...)
}
