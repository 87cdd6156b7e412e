package main

import (
	"context"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/wasm"
)

// inspect says what a file is, or everything that is wrong with what it says
// of itself.
func inspect(ctx context.Context, host *wasm.Host, file []byte) (core.Manifest, error) {
	m, err := host.Inspect(ctx, file)
	if err != nil {
		return core.Manifest{}, err
	}
	if problems := plan.CheckManifest(m); len(problems) > 0 {
		return core.Manifest{}, problems
	}
	return m, nil
}
