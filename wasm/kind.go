package wasm

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/wasm/meter"
)

// kind is a sort of program: what a file is held to, and what makes a new
// instance of it ready. Programs of every kind are metered, limited and
// isolated alike.
//
// A program that is not a module of a user, such as an interpreter that the
// host drives through its exports, is a kind of its own: it lists the functions
// that only it may import in functions(), under a module name of their own,
// names that module in imports, and has its own check and prepare.
type kind struct {
	name    string                    // tells programs made of the same file apart
	imports []string                  // modules of functions() that it may import
	check   func(*meter.Module) error // of its exports

	// prepare makes a new instance ready. What it leaves in memory, globals and
	// tables is what every run begins with, so it must not depend on a run: it
	// is called with nothing granted, and it may not keep m or its functions.
	prepare func(ctx context.Context, m api.Module) error
}

// invoke is one run of an instance that is ready: it calls what it likes of m
// and returns the code of the guest, 0 for success. An error that wraps a *stop
// keeps its reason; any other is diagnosed as a trap. It may not keep m.
type invoke struct {
	name string // for sentences: "tocsin_collect returned 1"
	call func(ctx context.Context, m api.Module) (uint32, error)
}

// export is the call of one function without parameters that returns a code.
func export(name string) invoke {
	return invoke{name, func(ctx context.Context, m api.Module) (uint32, error) {
		f := m.ExportedFunction(name)
		if f == nil {
			return 0, fmt.Errorf("it does not export %s", name)
		}
		var stack [1]uint64
		if err := f.CallWithStack(ctx, stack[:]); err != nil {
			return 0, err
		}
		return uint32(stack[0]), nil //nolint:gosec // an i32
	}}
}

// initialize calls _initialize when there is one. A command has none.
func initialize(ctx context.Context, m api.Module) error {
	if runOf(ctx).command {
		return nil
	}
	if f := m.ExportedFunction("_initialize"); f != nil {
		return f.CallWithStack(ctx, nil)
	}
	return nil
}
