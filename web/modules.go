package web

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

// modules registers what is about uploaded modules.
func (s *server) modules(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/modules", id: "list-modules", summary: "All modules and who uses them"}, s.moduleList)
	add(s, api, failed, operation{
		route: "POST /api/v1/modules", id: "upload-module", body: MaxModule,
		summary: "Upload a module, raw or as the file of a form; it is stored and runs when a version is activated", errors: []int{409, 413, 415},
	}, s.upload)
	add(s, api, failed, operation{route: "GET /api/v1/modules/{name}", id: "get-module", summary: "A module and its versions", errors: []int{404}},
		func(ctx context.Context, in *byName) (*body[wire.ModuleItem], error) {
			item, err := s.module(ctx, in.Name)
			if err != nil {
				return nil, err
			}
			return answer(item), nil
		})
	add(s, api, failed, operation{route: "POST /api/v1/modules/{name}/test", id: "test-module", summary: "Run a module once, storing nothing", errors: []int{404}}, s.testModule)
	at := "/api/v1/modules/{name}/versions/{version}"
	add(s, api, failed, operation{route: "POST " + at + "/activate", id: "activate-module", summary: "Use this version, with a grant", errors: []int{404}}, s.activate)
	add(s, api, failed, operation{route: "DELETE " + at, id: "delete-module", summary: "Delete a version that is not in use", status: http.StatusNoContent, errors: []int{404, 409}}, s.deleteModule)
	add(s, api, failed, operation{route: "GET " + at + "/file", id: "download-module", summary: "The file of a version", errors: []int{404}}, s.download)
}

type byName struct {
	Name string `path:"name" maxLength:"128"`
}

type byVersion struct {
	Name    string `path:"name" maxLength:"128"`
	Version string `path:"version" maxLength:"128"`
}

func noModule(name string) error {
	return failure(http.StatusNotFound, fmt.Sprintf("there is no module %q", name))
}

// moduleItems groups the stored versions by name.
func (s *server) moduleItems(ctx context.Context) ([]wire.ModuleItem, error) {
	versions, err := s.Stored.Modules(ctx)
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	v, err := s.catalog.view(ctx)
	if err != nil {
		return nil, err
	}
	var out []wire.ModuleItem
	for _, m := range versions {
		i := slices.IndexFunc(out, func(it wire.ModuleItem) bool { return it.Name == m.Name })
		if i < 0 {
			i = len(out)
			out = append(out, wire.ModuleItem{Name: m.Name})
			out[i].Checks, out[i].Systems = v.users("wasm:" + m.Name)
		}
		out[i].Versions = append(out[i].Versions, wire.ModuleVersion{Module: m})
	}
	slices.SortFunc(out, func(a, b wire.ModuleItem) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// users lists the checks that use a collector and counts the systems that
// they apply to.
func (v *view) users(use string) (checks []string, systems int) {
	on := map[string]bool{}
	for _, c := range v.checks {
		if !slices.ContainsFunc(c.Collect, func(step core.Collect) bool { return step.Use == use }) {
			continue
		}
		checks = append(checks, c.ID)
		for _, a := range v.assignments {
			if a.Check == c.ID {
				on[a.System] = true
			}
		}
	}
	return checks, len(on)
}

func (s *server) moduleList(ctx context.Context, _ *empty) (*body[wire.Page[wire.ModuleItem]], error) {
	items, err := s.moduleItems(ctx)
	if err != nil {
		return nil, err
	}
	return list(items), nil
}

func (s *server) module(ctx context.Context, name string) (wire.ModuleItem, error) {
	items, err := s.moduleItems(ctx)
	if err != nil {
		return wire.ModuleItem{}, err
	}
	for _, it := range items {
		if it.Name == name {
			return it, nil
		}
	}
	return wire.ModuleItem{}, noModule(name)
}

// version finds one version of a module; the active one, or else the newest,
// when version is empty.
func (s *server) version(ctx context.Context, name, version string) (core.Module, error) {
	item, err := s.module(ctx, name)
	if err != nil {
		return core.Module{}, err
	}
	for _, m := range item.Versions {
		if m.Version == version || version == "" && m.Active {
			return m.Module, nil
		}
	}
	if version == "" {
		return item.Versions[0].Module, nil
	}
	return core.Module{}, failure(http.StatusNotFound, fmt.Sprintf("the module %s has no version %q", name, version))
}

type uploadInput struct {
	Inspect     bool   `query:"inspect" doc:"only look at the file, store nothing"`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/wasm"`
}

func (s *server) upload(ctx context.Context, in *uploadInput) (*body[wire.ModuleReview], error) {
	file, err := fileOf(in.ContentType, in.RawBody)
	if err != nil {
		return nil, err
	}
	m, err := s.Modules.Inspect(ctx, file)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, problemsOf(err, "module")
	}
	if problems := s.taken(m.Name); len(problems) > 0 {
		return nil, wrong(problems)
	}
	sum := sha256.Sum256(file)
	review := wire.ModuleReview{Manifest: m, Digest: hex.EncodeToString(sum[:]), Size: int64(len(file))}
	if item, err := s.module(ctx, m.Name); err == nil {
		if i := slices.IndexFunc(item.Versions, func(v wire.ModuleVersion) bool { return v.Active }); i >= 0 {
			review.Active = &item.Versions[i].Module
		}
		// The very same file again changes nothing: it must not lose its grant.
		review.Stored = slices.ContainsFunc(item.Versions, func(v wire.ModuleVersion) bool { return v.Version == m.Version && v.Digest == review.Digest })
	}
	if in.Inspect || review.Stored {
		return answer(review), nil
	}
	err = s.Stored.PutModule(ctx, core.Module{
		Name: m.Name, Version: m.Version, Digest: review.Digest, Size: review.Size, Manifest: m, Created: time.Now(), By: who(ctx).User,
	}, file)
	if isConflict(err) {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s is there already with another content; give the file a new version", m.Name, m.Version))
	}
	if err != nil {
		return nil, fmt.Errorf("store the module: %w", err)
	}
	review.Stored = true
	s.audit(ctx, "upload module", idAttr(m.Name), slog.String("version", m.Version), slog.String("digest", review.Digest))
	return answer(review), nil
}

// taken reports a module whose page could not be reached: its address belongs
// to something else.
func (s *server) taken(name string) core.Problems {
	var says string
	switch {
	case name == "new":
		says = `a module cannot have the name "new": its page would be /collectors/new, which is taken`
	case slices.ContainsFunc(s.Collectors(), func(c core.CollectorInfo) bool { return c.Name == name }):
		says = fmt.Sprintf("a module cannot have the name %q: a built-in collector has it", name)
	default:
		return nil
	}
	return core.Problems{{Path: "name", Code: "id", Message: says, Fix: "register the module under another name"}}
}

// problemsOf is what is wrong with what somebody sent, when err says so to
// people.
func problemsOf(err error, code string) error {
	if problems, ok := errors.AsType[core.Problems](err); ok {
		return wrong(problems)
	}
	return wrong(core.Problems{{Code: code, Message: err.Error()}})
}

// fileOf is the file of an upload: the body itself, or the first file of a
// form.
func fileOf(contentType string, raw []byte) ([]byte, error) {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil || kind != "application/wasm" && kind != "application/octet-stream" && kind != "multipart/form-data":
		return nil, failure(http.StatusUnsupportedMediaType, "send application/wasm, or multipart/form-data with one file")
	case kind != "multipart/form-data":
		return bytes.Clone(raw), nil // huma uses the body again for the next request
	}
	form := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, failure(http.StatusUnprocessableEntity, "the form has no file")
		}
		if err != nil {
			return nil, failure(http.StatusBadRequest, "the form cannot be read: "+err.Error())
		}
		if part.FileName() == "" {
			continue
		}
		file, err := io.ReadAll(part)
		if err != nil {
			return nil, failure(http.StatusBadRequest, "the form cannot be read: "+err.Error())
		}
		return file, nil
	}
}

type testInput struct {
	Name string `path:"name" maxLength:"128"`
	Body wire.TestRun
}

func (s *server) testModule(ctx context.Context, in *testInput) (*body[wire.TestReport], error) {
	m, err := s.version(ctx, in.Name, in.Body.Version)
	if err != nil {
		return nil, err
	}
	file, err := s.Stored.ModuleFile(ctx, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("read the file of %s %s: %w", m.Name, m.Version, err)
	}
	if in.Body.Timeout <= 0 {
		in.Body.Timeout = core.DefaultTimeout
	}
	if in.Body.Timeout.Std() > s.o.TestTimeout {
		return nil, wrong(core.Problems{{Path: "timeout", Code: "limit", Message: fmt.Sprintf("%s is more than %s, the most of a test run", in.Body.Timeout, s.o.TestTimeout)}})
	}
	rc := core.RunContext{
		Check:  core.CheckRef{ID: "test", Name: "test run"},
		System: core.SystemRef{ID: "test", Name: "test", Tags: map[string]string{}},
	}
	if in.Body.System != "" {
		got, err := load[core.System](ctx, s, plan.Ref{Kind: store.Systems, ID: in.Body.System})
		if err != nil {
			return nil, err
		}
		rc.System = got.Body.Object.Ref()
	}
	// The test ends a little after its own limit whatever the module does.
	bounded, cancel := context.WithTimeout(ctx, in.Body.Timeout.Std()+5*time.Second)
	defer cancel()
	report, err := s.Modules.Test(bounded, m, file, in.Body, rc)
	if err != nil {
		return nil, problemsOf(err, "test")
	}
	s.audit(ctx, "test module", idAttr(m.Name), slog.String("version", m.Version))
	return answer(report), nil
}

type activateInput struct {
	Name    string `path:"name" maxLength:"128"`
	Version string `path:"version" maxLength:"128"`
	Body    wire.GrantReview
}

func (s *server) activate(ctx context.Context, in *activateInput) (*body[wire.ModuleItem], error) {
	m, err := s.version(ctx, in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	if problems := beyond(in.Body.Grant, m.Manifest.Wants); len(problems) > 0 {
		return nil, wrong(problems)
	}
	if err := s.Stored.Activate(ctx, in.Name, in.Version, in.Body.Grant); err != nil {
		return nil, fmt.Errorf("activate %s %s: %w", in.Name, in.Version, err)
	}
	s.audit(ctx, "activate module", idAttr(in.Name), slog.String("version", in.Version), slog.Any("http", in.Body.Grant.HTTP), slog.Bool("private", in.Body.Grant.Private))
	item, err := s.module(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return answer(item), nil
}

// beyond reports what a grant gives that the module did not ask for.
func beyond(grant, wants core.Grant) core.Problems {
	var out core.Problems
	bad := func(path, message string) {
		out = append(out, core.Problem{Path: "grant." + path, Code: "grant", Message: message, Fix: "grant at most what the module wants"})
	}
	for i, host := range grant.HTTP {
		if !slices.ContainsFunc(wants.HTTP, func(want string) bool { return covers(want, host) }) {
			bad(fmt.Sprintf("http[%d]", i), fmt.Sprintf("the module does not want %s", host))
		}
	}
	if grant.Private && !wants.Private {
		bad("private", "the module does not want private addresses")
	}
	most := func(path string, given, wanted, byDefault int64) {
		if wanted = max(wanted, byDefault); given > wanted {
			bad("limits."+path, fmt.Sprintf("%d is more than the %d that the module wants", given, wanted))
		}
	}
	free := defaultLimits()
	most("memory_bytes", grant.Limits.Memory, wants.Limits.Memory, free.Memory)
	most("output_bytes", grant.Limits.Output, wants.Limits.Output, free.Output)
	most("log_bytes", grant.Limits.Logs, wants.Limits.Logs, free.Logs)
	most("http_calls", int64(grant.Limits.HTTPCalls), int64(wants.Limits.HTTPCalls), int64(free.HTTPCalls))
	most("http_response_bytes", grant.Limits.HTTPResponse, wants.Limits.HTTPResponse, free.HTTPResponse)
	return out
}

// defaultLimits are those of a module whose grant names none, see
// [core.Limits].
func defaultLimits() core.Limits {
	return core.Limits{Memory: 16 << 20, Output: 256 << 10, Logs: 64 << 10, HTTPCalls: 20, HTTPResponse: 1 << 20}
}

func (s *server) deleteModule(ctx context.Context, in *byVersion) (*empty, error) {
	m, err := s.version(ctx, in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	item, err := s.module(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if len(item.Checks) > 0 && (m.Active || len(item.Versions) == 1) {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s is used by %s; activate another version or change them first", in.Name, in.Version, strings.Join(item.Checks, ", ")))
	}
	if err := s.Stored.DeleteModule(ctx, in.Name, in.Version); err != nil {
		if isConflict(err) {
			return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s is the active version; activate another one first", in.Name, in.Version))
		}
		return nil, fmt.Errorf("delete %s %s: %w", in.Name, in.Version, err)
	}
	s.audit(ctx, "delete module", idAttr(in.Name), slog.String("version", in.Version))
	return nil, nil //nolint:nilnil // an answer without a body
}

type downloadOutput struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *server) download(ctx context.Context, in *byVersion) (*downloadOutput, error) {
	m, err := s.version(ctx, in.Name, in.Version)
	if err != nil {
		return nil, err
	}
	file, err := s.Stored.ModuleFile(ctx, m.Digest)
	if err != nil {
		return nil, fmt.Errorf("read the file of %s %s: %w", in.Name, in.Version, err)
	}
	name := mime.FormatMediaType("attachment", map[string]string{"filename": m.Name + "-" + m.Version + ".wasm"})
	return &downloadOutput{ContentType: "application/wasm", Disposition: name, Body: file}, nil
}
