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
	add(s, api, failed, operation{route: "GET /api/v1/modules", id: "list-modules", summary: "All modules, their versions and who uses them"}, s.moduleList)
	add(s, api, failed, operation{
		route: "POST /api/v1/modules", id: "upload-module", body: MaxModule,
		summary: "Upload a module, raw or as the file of a form; it is stored and runs nowhere until its grant is reviewed and something names it", errors: []int{409, 413, 415},
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
	add(s, api, failed, operation{route: "DELETE " + at, id: "delete-module", summary: "Delete a version that is not in use", status: http.StatusNoContent, errors: []int{404, 409}}, s.deleteModule)
	add(s, api, failed, operation{route: "GET " + at + "/file", id: "download-module", summary: "The file of a version", errors: []int{404}}, s.download)
	s.releases(api, failed)
	s.scripts(api, failed)
	s.examples(api, failed)
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

type uploadInput struct {
	Inspect     bool   `query:"inspect" doc:"only look at the file, store nothing"`
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/wasm"`
}

func (s *server) upload(ctx context.Context, in *uploadInput) (*body[wire.ModuleReview], error) {
	file, compiled, err := fileOf(in.ContentType, in.RawBody)
	if err != nil {
		return nil, err
	}
	if compiled && core.KindOf(file) != core.WasmModule {
		return nil, wrong(core.Problems{{Code: "module", Message: "this is not a WebAssembly module: it does not begin with \\0asm", Fix: "name a script .js or .ts, or send it as text/javascript"}})
	}
	m, err := s.Modules.Inspect(ctx, file)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, problemsOf(err, "module")
	}
	return s.review(ctx, core.KindOf(file), m, file, in.Inspect)
}

// review says what an uploaded file wants against what is active, and stores it
// unless it is only looked at.
func (s *server) review(ctx context.Context, kind core.ModuleKind, m core.Manifest, file []byte, inspect bool) (*body[wire.ModuleReview], error) {
	if problems := s.taken(m.Name); len(problems) > 0 {
		return nil, wrong(problems)
	}
	now, err := s.modulesNow(ctx)
	if err != nil {
		return nil, err
	}
	others, r := now.modules[m.Name], now.releases[m.Name]
	if len(others) > 0 && others[0].Kind != kind {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s is the name of a %s module, and this is a %s module; give it another name", m.Name, others[0].Kind, kind))
	}
	if version, taken := r.Aliases[m.Version]; taken {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s is an alias of %s, which means version %s; give the file another version", m.Version, m.Name, version))
	}
	sum := sha256.Sum256(file)
	review := wire.ModuleReview{Kind: kind, Manifest: m, Digest: hex.EncodeToString(sum[:]), Size: int64(len(file))}
	review.GrantDiff = grantDiff(others, m.Version, m.Wants)
	for i, other := range others {
		if other.Active {
			review.Active = &others[i]
		}
		// The very same file again changes nothing: it must not lose its grant.
		if other.Version == m.Version && other.Digest == review.Digest {
			review.Stored, review.Number, review.Granted = true, other.Number, !other.Granted.IsZero()
		}
	}
	if inspect || review.Stored {
		return answer(review), nil
	}
	stored, err := s.Stored.PutModule(ctx, core.Module{
		Name: m.Name, Version: m.Version, Kind: kind, Digest: review.Digest, Size: review.Size, Manifest: m, Created: time.Now(), By: who(ctx).User,
	}, file)
	if isConflict(err) {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s is there already with another content; give the file a new version", m.Name, m.Version))
	}
	if err != nil {
		return nil, fmt.Errorf("store the module: %w", err)
	}
	review.Stored, review.Number, review.Granted = true, stored.Number, !stored.Granted.IsZero()
	s.audit(ctx, "upload module", idAttr(m.Name), slog.String("version", m.Version), slog.String("digest", review.Digest))
	return answer(review), nil
}

// taken reports a module whose page could not be reached: its address belongs
// to something else.
func (s *server) taken(name string) core.Problems {
	var says string
	switch {
	case name == "new" || name == "new-script":
		says = fmt.Sprintf("a module cannot have the name %q: its page would be /collectors/%s, which is taken", name, name)
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
// form. Compiled: it is said to be WebAssembly, not a script.
func fileOf(contentType string, raw []byte) (file []byte, compiled bool, err error) {
	kind, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil || kind != "application/wasm" && kind != "application/octet-stream" && kind != "text/javascript" && kind != "multipart/form-data":
		return nil, false, failure(http.StatusUnsupportedMediaType, "send application/wasm, text/javascript, or multipart/form-data with one file")
	case kind != "multipart/form-data":
		return bytes.Clone(raw), kind == "application/wasm", nil // huma uses the body again for the next request
	}
	form := multipart.NewReader(bytes.NewReader(raw), params["boundary"])
	for {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, false, failure(http.StatusUnprocessableEntity, "the form has no file")
		}
		if err != nil {
			return nil, false, failure(http.StatusBadRequest, "the form cannot be read: "+err.Error())
		}
		if part.FileName() == "" {
			continue
		}
		file, err := io.ReadAll(part)
		if err != nil {
			return nil, false, failure(http.StatusBadRequest, "the form cannot be read: "+err.Error())
		}
		return file, strings.HasSuffix(strings.ToLower(part.FileName()), ".wasm"), nil
	}
}

type testInput struct {
	Name string `path:"name" maxLength:"128"`
	Body wire.TestRun
}

func (s *server) testModule(ctx context.Context, in *testInput) (*body[wire.TestReport], error) {
	t := in.Body
	now, err := s.modulesNow(ctx)
	if err != nil {
		return nil, err
	}
	m, err := now.find(in.Name, t.Version)
	if err != nil {
		return nil, err
	}
	rc, err := s.testable(ctx, &m, &t)
	if err != nil {
		return nil, err
	}
	report, err := s.testStored(ctx, m, t, rc)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "test module", idAttr(m.Name), slog.String("version", m.Version), slog.Bool("own_grant", t.Grant == nil))
	if !t.Compare {
		return answer(report), nil
	}
	stable := now.releases[in.Name].Stable
	if stable == "" || stable == m.Version && t.Grant == nil {
		return nil, wrong(core.Problems{{Path: "compare", Code: "same", Message: "there is no other version to compare with: " + cmp.Or(stable, "none") + " is active", Fix: "test another version, or leave compare out"}})
	}
	active, err := now.find(in.Name, stable)
	if err != nil {
		return nil, err
	}
	against, err := s.testStored(ctx, active, t, rc)
	if err != nil {
		return nil, err
	}
	report.Active = &against
	return answer(report), nil
}

// testable checks a test run and fills in what it leaves out.
func (s *server) testable(ctx context.Context, m *core.Module, t *wire.TestRun) (core.RunContext, error) {
	if t.Timeout <= 0 {
		t.Timeout = core.DefaultTimeout
	}
	if t.Timeout.Std() > s.o.TestTimeout {
		return core.RunContext{}, wrong(core.Problems{{Path: "timeout", Code: "limit", Message: fmt.Sprintf("%s is more than %s, the most of a test run", t.Timeout, s.o.TestTimeout)}})
	}
	if t.Grant != nil {
		if problems := beyond(*t.Grant, m.Manifest.Wants); len(problems) > 0 {
			return core.RunContext{}, wrong(problems)
		}
		m.Grant = *t.Grant
	}
	return s.testContext(ctx, *t)
}

// testContext is what a test run is told of what it is asked for.
func (s *server) testContext(ctx context.Context, t wire.TestRun) (core.RunContext, error) {
	rc := core.RunContext{
		Check:  core.CheckRef{ID: "test", Name: "test run"},
		System: core.SystemRef{ID: "test", Name: "test", Tags: map[string]string{}},
	}
	switch {
	case t.System != "" && t.As != nil:
		return rc, wrong(core.Problems{{Path: "as", Code: "both", Message: "give the id of a system, or one that is made up, not both"}})
	case t.As != nil:
		if err := core.CheckName(t.As.ID); err != nil {
			return rc, wrong(core.Problems{{Path: "as.id", Code: "name", Message: err.Error()}})
		}
		rc.System = core.System{ID: t.As.ID, Name: t.As.Name, Tags: t.As.Tags}.Ref()
	case t.System != "":
		got, err := load[core.System](ctx, s, plan.Ref{Kind: store.Systems, ID: t.System})
		if err != nil {
			return rc, err
		}
		rc.System = got.Body.Object.Ref()
	}
	return rc, nil
}

// testStored runs a version once.
func (s *server) testStored(ctx context.Context, m core.Module, t wire.TestRun, rc core.RunContext) (wire.TestReport, error) {
	file, err := s.Stored.ModuleFile(ctx, m.Digest)
	if err != nil {
		return wire.TestReport{}, fmt.Errorf("read the file of %s %s: %w", m.Name, m.Version, err)
	}
	return s.test(ctx, m, file, t, rc)
}

// test runs a file once.
func (s *server) test(ctx context.Context, m core.Module, file []byte, t wire.TestRun, rc core.RunContext) (wire.TestReport, error) {
	// The test ends a little after its own limit whatever the module does.
	bounded, cancel := context.WithTimeout(ctx, t.Timeout.Std()+5*time.Second)
	defer cancel()
	report, err := s.Modules.Test(bounded, m, file, t, rc)
	if err != nil {
		return wire.TestReport{}, problemsOf(err, "test")
	}
	report.Version, report.Grant = m.Version, m.Grant
	return report, nil
}

// beyond reports what a grant gives that the module did not ask for.
func beyond(grant, wants core.Grant) core.Problems {
	if err := grant.Check(); err != nil {
		return core.Problems{{Path: "grant", Code: "grant", Message: err.Error(), Fix: "mend it, or leave it out"}}
	}
	return append(grant.Beyond(wants), grant.Limits.Beyond(wants.Limits)...).Under("grant")
}

func (s *server) deleteModule(ctx context.Context, in *byVersion) (*empty, error) {
	item, err := s.module(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(item.Versions, func(v wire.ModuleVersion) bool { return v.Version == in.Version })
	if i < 0 {
		return nil, failure(http.StatusNotFound, fmt.Sprintf("the module %s has no version %q", in.Name, in.Version))
	}
	if keeps := item.Versions[i].Keeps; len(keeps) > 0 {
		return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s cannot be deleted: %s", in.Name, in.Version, strings.Join(keeps, "; ")))
	}
	if err := s.Stored.DeleteModule(ctx, in.Name, in.Version); err != nil {
		if isConflict(err) {
			return nil, failure(http.StatusConflict, fmt.Sprintf("%s %s came into use a moment ago: %v", in.Name, in.Version, err))
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
	kind, ending := "application/wasm", ".wasm"
	if m.Kind == core.ScriptModule {
		kind, ending = "text/javascript; charset=utf-8", ".js"
	}
	name := mime.FormatMediaType("attachment", map[string]string{"filename": m.Name + "-" + m.Version + ending})
	return &downloadOutput{ContentType: kind, Disposition: name, Body: file}, nil
}
