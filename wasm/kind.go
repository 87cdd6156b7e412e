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
// names that module in imports, and has its own check.
type kind struct {
	name    string                    // tells programs made of the same file apart
	imports []string                  // modules of functions() that it may import
	check   func(*meter.Module) error // of its exports
}

// guest is what somebody wrote, as a program runs it.
type guest interface {
	// prepare makes a new instance ready. What it leaves in memory, globals and
	// tables is what every run begins with, so it must not depend on a run: it
	// is called with nothing granted, and it may not keep m or its functions.
	prepare(ctx context.Context, m api.Module) error
	// entry is the run of what package abi calls by that name.
	entry(name string) invoke
}

// compiled is the guest of a program that is a module itself.
type compiled struct{}

func (compiled) entry(name string) invoke { return export(name) }

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

// prepare calls _initialize when there is one. A command has none.
func (compiled) prepare(ctx context.Context, m api.Module) error {
	if runOf(ctx).command {
		return nil
	}
	if f := m.ExportedFunction("_initialize"); f != nil {
		return f.CallWithStack(ctx, nil)
	}
	return nil
}
