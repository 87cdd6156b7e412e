package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// maxScript is the most that the body of a request with a script may have: the
// source, escaped, and what is said of it.
const maxScript = 1 << 20

// scripts registers what is about scripts before they are modules like others.
func (s *server) scripts(api huma.API, failed *huma.Schema) {
	add(s, api, failed, operation{route: "GET /api/v1/scripts/api", id: "script-api", summary: "What scripts can use"},
		func(context.Context, *empty) (*body[wire.ScriptHelp], error) {
			return answer(s.Modules.ScriptHelp()), nil
		})
	add(s, api, failed, operation{route: "POST /api/v1/scripts/validate", id: "validate-script", summary: "Check a script in the sandbox, storing nothing", body: maxScript}, s.validateScript)
	add(s, api, failed, operation{route: "POST /api/v1/scripts/test", id: "test-script", summary: "Run a script once, storing nothing", body: maxScript}, s.testScript)
	add(s, api, failed, operation{
		route: "POST /api/v1/scripts", id: "save-script", body: maxScript,
		summary: "Save a script as a version; it runs nowhere until its grant is reviewed and something names it", errors: []int{409},
	}, s.saveScript)
}

type scriptInput struct{ Body wire.ScriptSource }

// inspectScript is the file of a script and what it says of itself.
func (s *server) inspectScript(ctx context.Context, source wire.ScriptSource) ([]byte, core.Manifest, error) {
	file, err := s.Modules.Script(source)
	if err != nil {
		return nil, core.Manifest{}, err
	}
	m, err := s.Modules.Inspect(ctx, file)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	return file, m, err
}

func (s *server) validateScript(ctx context.Context, in *scriptInput) (*body[wire.ScriptCheck], error) {
	_, m, err := s.inspectScript(ctx, in.Body)
	if err == nil {
		if problems := s.taken(m.Name); len(problems) > 0 {
			return answer(wire.ScriptCheck{Problems: problems}), nil
		}
		return answer(wire.ScriptCheck{OK: true, Problems: core.Problems{}, Manifest: &m}), nil
	}
	if problems, ok := errors.AsType[core.Problems](err); ok {
		return answer(wire.ScriptCheck{Problems: problems}), nil
	}
	if ctx.Err() != nil {
		return nil, err
	}
	return answer(wire.ScriptCheck{Problems: core.Problems{{Code: "script", Message: err.Error()}}}), nil
}

type scriptTestInput struct{ Body wire.ScriptTest }

func (s *server) testScript(ctx context.Context, in *scriptTestInput) (*body[wire.TestReport], error) {
	file, m, err := s.inspectScript(ctx, in.Body.Script)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, problemsOf(err, "script")
	}
	t := in.Body.TestRun
	if t.Compare || t.Version != "" {
		return nil, wrong(core.Problems{{Path: "compare", Code: "unsaved", Message: "a script that is not saved has no versions", Fix: "save it, and test the version"}})
	}
	sum := sha256.Sum256(file)
	module := core.Module{Name: m.Name, Version: m.Version, Kind: core.ScriptModule, Digest: hex.EncodeToString(sum[:]), Manifest: m, Grant: m.Wants}
	rc, err := s.testable(ctx, &module, &t)
	if err != nil {
		return nil, err
	}
	report, err := s.test(ctx, module, file, t, rc)
	if err != nil {
		return nil, err
	}
	s.audit(ctx, "test script", idAttr(m.Name), slog.String("digest", module.Digest))
	return answer(report), nil
}

func (s *server) saveScript(ctx context.Context, in *scriptInput) (*body[wire.ModuleReview], error) {
	file, m, err := s.inspectScript(ctx, in.Body)
	if err != nil {
		if ctx.Err() != nil {
			return nil, err
		}
		return nil, problemsOf(err, "script")
	}
	return s.review(ctx, core.ScriptModule, m, file, false)
}
