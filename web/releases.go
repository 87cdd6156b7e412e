package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// releases registers what moves the names of modules from version to version.
func (s *server) releases(api huma.API, failed *huma.Schema) {
	base := "/api/v1/modules/{name}"
	add(s, api, failed, operation{route: "POST " + base + "/versions/{version}/grant", id: "grant-module", summary: "Say what a version may reach, without activating it", errors: []int{404}}, s.grant)
	add(s, api, failed, operation{route: "POST " + base + "/versions/{version}/activate", id: "activate-module", summary: "Use this version, with a grant", errors: []int{404, 409}}, s.activate)
	add(s, api, failed, operation{route: "POST " + base + "/rollback", id: "rollback-module", summary: "Go back to the version that was active before", errors: []int{404, 409}}, s.rollback)
	add(s, api, failed, operation{route: "PUT " + base + "/aliases/{alias}", id: "set-module-alias", summary: "Make a word mean a version", errors: []int{404, 409}}, s.setAlias)
	add(s, api, failed, operation{route: "DELETE " + base + "/aliases/{alias}", id: "delete-module-alias", summary: "Forget a word", errors: []int{404, 409}}, s.deleteAlias)
	add(s, api, failed, operation{route: "PUT " + base + "/canary", id: "start-canary", summary: "Try a version on a share of the assignments, or change the share", errors: []int{404, 409}}, s.startCanary)
	add(s, api, failed, operation{route: "POST " + base + "/canary/promote", id: "promote-canary", summary: "Use the version of the canary everywhere", errors: []int{404, 409}},
		func(ctx context.Context, in *byName) (*body[wire.ReleaseEffect], error) {
			return s.release(ctx, in.Name, "promote canary", func(_ *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
				return conflict(r.Promote(e))
			})
		})
	add(s, api, failed, operation{route: "DELETE " + base + "/canary", id: "abort-canary", summary: "End the canary; the active version runs everywhere", errors: []int{404, 409}},
		func(ctx context.Context, in *byName) (*body[wire.ReleaseEffect], error) {
			return s.release(ctx, in.Name, "abort canary", func(_ *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
				return conflict(r.Abort(e))
			})
		})
}

// conflict is what cannot be done to a release as it stands.
func conflict(r core.Release, err error) (core.Release, error) {
	if err != nil {
		return r, failure(http.StatusConflict, err.Error())
	}
	return r, nil
}

// release changes the release of a module, and says what follows.
func (s *server) release(
	ctx context.Context, name, what string, change func(*modulesNow, core.Release, core.ReleaseEdit) (core.Release, error),
) (*body[wire.ReleaseEffect], error) {
	const tries = 5 // somebody else may be faster
	for try := 1; ; try++ {
		now, err := s.modulesNow(ctx)
		if err != nil {
			return nil, err
		}
		if len(now.modules[name]) == 0 {
			return nil, noModule(name)
		}
		before := now.releases[name]
		after, err := change(now, before, core.ReleaseEdit{By: who(ctx).User, At: time.Now().UTC()})
		if err != nil {
			return nil, err
		}
		if broken := now.broken(before, after); len(broken) > 0 {
			return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s does not offer what is in use: %s; change that first", name, after.Stable, strings.Join(broken, "; ")))
		}
		moved := now.usage(after).moved(now.usage(before))
		err = s.Releases.PutRelease(ctx, after)
		if problems, ok := errors.AsType[core.Problems](err); ok {
			return nil, wrong(problems)
		}
		if isConflict(err) && try < tries {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s of %s: %w", what, name, err)
		}
		s.audit(ctx, what, idAttr(name), slog.String("stable", after.Stable), slog.String("before", before.Stable), slog.Int("assignments", moved))
		item, err := s.module(ctx, name)
		if err != nil {
			return nil, err
		}
		return answer(wire.ReleaseEffect{Module: item, Assignments: moved, Text: effect(moved)}), nil
	}
}

// effect says for people what follows from a change of a release.
func effect(assignments int) string {
	switch assignments {
	case 0:
		return "no assignment runs another version"
	case 1:
		return "1 assignment, next run"
	}
	return fmt.Sprintf("%d assignments, next run", assignments)
}

type grantInput struct {
	Name    string `path:"name" maxLength:"128"`
	Version string `path:"version" maxLength:"128"`
	Body    wire.GrantReview
}

func (s *server) grant(ctx context.Context, in *grantInput) (*body[wire.ModuleItem], error) {
	if err := s.storeGrant(ctx, in); err != nil {
		return nil, err
	}
	item, err := s.module(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return answer(item), nil
}

// storeGrant stores what a person granted to one version.
func (s *server) storeGrant(ctx context.Context, in *grantInput) error {
	now, err := s.modulesNow(ctx)
	if err != nil {
		return err
	}
	m, err := now.find(in.Name, in.Version)
	if err != nil {
		return err
	}
	if m.Version != in.Version {
		return failure(http.StatusNotFound, fmt.Sprintf("the module %s has no version %q; %s is version %s", in.Name, in.Version, in.Version, m.Version))
	}
	if problems := beyond(in.Body.Grant, m.Manifest.Wants); len(problems) > 0 {
		return wrong(problems)
	}
	if err := s.Stored.GrantModule(ctx, in.Name, in.Version, in.Body.Grant, who(ctx).User, time.Now()); err != nil {
		return fmt.Errorf("grant %s %s: %w", in.Name, in.Version, err)
	}
	g := in.Body.Grant
	s.audit(ctx, "grant module", idAttr(in.Name), slog.String("version", in.Version), slog.Any("http", g.HTTP), slog.Any("tcp", g.TCP), slog.Any("dns", g.DNS),
		slog.Bool("private", g.Private), slog.String("kv", g.KV), slog.Any("secrets", g.Secrets), slog.Any("reveal", g.Reveal))
	return nil
}

func (s *server) activate(ctx context.Context, in *grantInput) (*body[wire.ReleaseEffect], error) {
	if err := s.storeGrant(ctx, in); err != nil {
		return nil, err
	}
	return s.release(ctx, in.Name, "activate module", func(_ *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
		return r.Activate(in.Version, e), nil
	})
}

func (s *server) rollback(ctx context.Context, in *byName) (*body[wire.ReleaseEffect], error) {
	return s.release(ctx, in.Name, "roll back module", func(_ *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
		return conflict(r.Rollback(e))
	})
}

// reviewed is a version that somebody named and that may run.
func (now *modulesNow) reviewed(name, version string) (core.Module, error) {
	if version == "" {
		return core.Module{}, wrong(core.Problems{{Path: "version", Code: "required", Message: "say which version", Fix: "write a version, a number or an alias"}})
	}
	m, err := now.find(name, version)
	if err != nil {
		return m, err
	}
	if m.Granted.IsZero() {
		return m, failure(http.StatusConflict, fmt.Sprintf("nobody has reviewed what %s %s may reach; grant it first", m.Name, m.Version))
	}
	return m, nil
}

type aliasInput struct {
	Name  string `path:"name" maxLength:"128"`
	Alias string `path:"alias" maxLength:"128"`
	Body  wire.AliasPoint
}

func (s *server) setAlias(ctx context.Context, in *aliasInput) (*body[wire.ReleaseEffect], error) {
	return s.release(ctx, in.Name, "set alias", func(now *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
		for _, m := range now.modules[in.Name] {
			if m.Version == in.Alias {
				return r, wrong(core.Problems{{Path: "alias", Code: "taken", Message: fmt.Sprintf("%s is a version of %s, which checks may pin", in.Alias, in.Name), Fix: "choose another word"}})
			}
		}
		if err := core.CheckAlias(in.Alias); err != nil {
			return r, wrong(core.Problems{{Path: "alias", Code: "name", Message: err.Error()}})
		}
		m, err := now.reviewed(in.Name, in.Body.Version)
		if err != nil {
			return r, err
		}
		return conflict(r.Point(in.Alias, m.Version, e))
	})
}

type aliasPath struct {
	Name  string `path:"name" maxLength:"128"`
	Alias string `path:"alias" maxLength:"128"`
}

func (s *server) deleteAlias(ctx context.Context, in *aliasPath) (*body[wire.ReleaseEffect], error) {
	return s.release(ctx, in.Name, "delete alias", func(now *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
		if used := now.pinning(r, in.Alias); len(used) > 0 {
			return r, failure(http.StatusConflict, fmt.Sprintf("the alias %s of %s is used by %s; change that first", in.Alias, in.Name, enumerate(used)))
		}
		next, ok := r.Forget(in.Alias, e)
		if !ok {
			return r, failure(http.StatusNotFound, fmt.Sprintf("%s has no alias %q", in.Name, in.Alias))
		}
		return next, nil
	})
}

// pinning lists what uses a module by exactly this pin.
func (now *modulesNow) pinning(r core.Release, pin string) []string {
	var out []string
	uses := func(use string) bool {
		u, ok := core.ParseModuleUse(use)
		return ok && u.Name == r.Name && u.Pin == pin
	}
	for _, c := range now.view.checks {
		for _, step := range c.Collect {
			if uses(step.Use) {
				out = append(out, "check "+c.ID)
				break
			}
		}
	}
	for _, rule := range now.view.rules {
		for _, step := range core.Steps("do", slices.Concat(rule.Do, rule.Recover)) {
			if uses(step.Action) {
				out = append(out, "rule "+rule.ID)
				break
			}
		}
	}
	return out
}

type canaryInput struct {
	Name string `path:"name" maxLength:"128"`
	Body wire.CanaryStart
}

func (s *server) startCanary(ctx context.Context, in *canaryInput) (*body[wire.ReleaseEffect], error) {
	return s.release(ctx, in.Name, "start canary", func(now *modulesNow, r core.Release, e core.ReleaseEdit) (core.Release, error) {
		m, err := now.reviewed(in.Name, in.Body.Version)
		if err != nil {
			return r, err
		}
		var problems core.Problems
		known := map[string]bool{}
		for _, system := range now.view.systems {
			known[system.ID] = true
		}
		for i, id := range in.Body.Systems {
			if !known[id] {
				problems = append(problems, core.Problem{Path: fmt.Sprintf("systems[%d]", i), Code: "unknown_system", Message: fmt.Sprintf("there is no system %q", id)})
			}
		}
		if len(problems) > 0 {
			return r, wrong(problems)
		}
		return conflict(r.Try(core.Canary{Version: m.Version, Percent: in.Body.Percent, Systems: in.Body.Systems}, e))
	})
}
