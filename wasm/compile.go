package wasm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/tetratelabs/wazero"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// patience is how many times CompileTime a compilation may last by the clock
// on the wall: with its low priority it gets a small share of a busy machine.
const patience = 12

// program is a file, compiled. Modules that differ in their grant share it.
type program struct {
	file      *meter.Module
	compiled  wazero.CompiledModule
	command   bool     // see [isCommand]
	variables []string // see [meter.Module.Variables]
	memories  buffers
	users     int // guarded by Host.mu
}

// admit checks everything about a file that can be checked without running
// it, and returns it rewritten.
func admit(k *kind, file []byte) (*meter.Module, []byte, error) {
	limits := meter.DefaultLimits()
	limits.Size = maxFile
	m, err := meter.Parse(file, limits)
	if err != nil {
		return nil, nil, errors.New(clean(err.Error(), maxSummary, false)) // it can quote names of the file
	}
	if err := checkImports(m, k.imports); err != nil {
		return nil, nil, err
	}
	if err := k.check(m); err != nil {
		return nil, nil, err
	}
	if !m.HasMemory {
		return nil, nil, errors.New("it has no memory")
	}
	out, err := m.Rewrite(meterModule, meterTick)
	return m, out, err
}

// reactor is the kind of the modules and commands that package abi describes.
func reactor() *kind {
	return &kind{name: "module", imports: []string{abi.HostModule, wasiModule}, check: checkModule}
}

func checkModule(m *meter.Module) error {
	if isCommand(m) {
		return checkCommand(m)
	}
	return checkReactor(m)
}

// compile makes native code, one file at a time and within its time. With a
// worker another process does it and this one reads the result from the cache.
func (h *Host) compile(ctx context.Context, k *kind, file []byte) (*program, error) {
	parsed, rewritten, err := admit(k, file)
	if err != nil {
		return nil, err
	}
	if h.isolation == Bare {
		rewritten = file
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience*h.o.CompileTime, h.tooLong())
	defer cancel()
	select {
	case h.compiling <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("compile: waiting for another compilation: %w", ctx.Err())
	}
	name := digest(rewritten)
	if err := h.ready(ctx, name, rewritten); err != nil {
		<-h.compiling
		return nil, err
	}
	return h.compileHere(ctx, parsed, name, rewritten)
}

// ready makes sure that the compiled code in the cache is what the compiler
// wrote, and with a worker that it is there.
func (h *Host) ready(ctx context.Context, name string, rewritten []byte) error {
	if h.files == nil {
		return nil
	}
	sound, err := h.files.sound(name)
	if err != nil {
		return fmt.Errorf("check the cache of compiled modules: %w", err)
	}
	if sound || len(h.o.Worker) == 0 {
		return nil
	}
	if err := h.compileElsewhere(ctx, rewritten); err != nil {
		return err
	}
	switch found, err := h.files.keep(name); {
	case err != nil:
		return fmt.Errorf("keep what was compiled: %w", err)
	case !found:
		return errors.New("compile: the worker left nothing in the cache")
	}
	return nil
}

// compileHere compiles in this process. The compiler cannot be interrupted:
// past its time it finishes for nobody, and nothing else compiles until then.
func (h *Host) compileHere(ctx context.Context, parsed *meter.Module, name string, rewritten []byte) (*program, error) {
	var compiled wazero.CompiledModule
	var err error
	var settled atomic.Bool // by whoever comes first: the compiler or the clock
	done := make(chan struct{})
	go func() {
		defer func() { <-h.compiling }()
		c, failure := compileSafely(h.runtime, rewritten) //nolint:contextcheck // the compiler does not look at it
		failure = h.note(name, failure)
		if settled.CompareAndSwap(false, true) {
			compiled, err = c, failure
			close(done)
		} else if c != nil {
			_ = c.Close(context.WithoutCancel(ctx)) // closing compiled code cannot fail
		}
	}()
	select {
	case <-done:
	case <-ctx.Done():
		if settled.CompareAndSwap(false, true) {
			return nil, context.Cause(ctx)
		}
		<-done
	}
	if err != nil {
		return nil, err
	}
	return &program{file: parsed, compiled: compiled, command: isCommand(parsed), variables: parsed.Variables()}, nil
}

func (h *Host) tooLong() error {
	return fmt.Errorf("its compilation took longer than %s", patience*h.o.CompileTime)
}

// note enters what this process has compiled into the list of the cache. What
// the runtime could not read is thrown away.
func (h *Host) note(name string, failure error) error {
	if h.files == nil {
		return failure
	}
	if errors.Is(failure, errUnreadable) {
		return errors.Join(failure, h.files.forget(name))
	}
	if failure == nil && len(h.o.Worker) == 0 {
		_, failure = h.files.keep(name)
	}
	return failure
}

var errUnreadable = errors.New("its compiled code could not be read and was thrown away: load it again")

// compileSafely compiles, or takes the compiled code from the cache of the
// runtime. A panic of the compiler is an error.
func compileSafely(runtime wazero.Runtime, file []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = errors.New("the compiler failed on it")
		}
	}()
	compiled, err = runtime.CompileModule(context.Background(), file)
	switch {
	case err == nil:
		return compiled, nil
	case strings.HasPrefix(err.Error(), "compilationcache"):
		return nil, errUnreadable
	}
	return nil, fmt.Errorf("it is not valid: %s", clean(err.Error(), maxSummary, false))
}
