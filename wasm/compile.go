package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tetratelabs/wazero"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// compileMemory is what a worker may use for one compilation, bytes.
const compileMemory = 1 << 30

// patience is how many times CompileTime a compilation may last by the clock
// on the wall: on a busy machine it gets only a share of the processor.
const patience = 6

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
	if len(h.o.Worker) > 0 {
		if err := h.compileElsewhere(ctx, rewritten); err != nil {
			<-h.compiling
			return nil, err
		}
	}
	return h.compileHere(ctx, parsed, rewritten)
}

// compileHere compiles in this process. The compiler cannot be interrupted:
// past its time it finishes for nobody, and nothing else compiles until then.
func (h *Host) compileHere(ctx context.Context, parsed *meter.Module, rewritten []byte) (*program, error) {
	var compiled wazero.CompiledModule
	var err error
	var settled atomic.Bool // by whoever comes first: the compiler or the clock
	done := make(chan struct{})
	go func() {
		defer func() { <-h.compiling }()
		c, failure := compileSafely(h.runtime, h.cacheDir, rewritten) //nolint:contextcheck // the compiler does not look at it
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

// compileSafely compiles with the help of the cache in dir, which may be empty.
// A cache that cannot be read is emptied; a panic of the compiler is an error.
func compileSafely(runtime wazero.Runtime, dir string, file []byte) (compiled wazero.CompiledModule, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = errors.New("the compiler failed on it")
		}
	}()
	ctx := context.Background()
	compiled, err = runtime.CompileModule(ctx, file)
	if err != nil && dir != "" && strings.HasPrefix(err.Error(), "compilationcache") {
		if err := empty(dir); err != nil {
			return nil, fmt.Errorf("empty the damaged cache of compiled modules: %w", err)
		}
		compiled, err = runtime.CompileModule(ctx, file)
	}
	if err != nil {
		return nil, fmt.Errorf("it is not valid: %s", clean(err.Error(), maxSummary, false))
	}
	return compiled, nil
}

// empty removes the files under dir and keeps the directories.
func empty(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Remove(path) //nolint:gosec // the directory is for the owner only
	})
}

// order is what a worker reads before the module.
type order struct {
	CacheDir string        `json:"cache_dir"`
	Memory   uint64        `json:"memory_bytes"`
	Time     time.Duration `json:"time_ns"`
	Size     int64         `json:"size_bytes"`
}

// outcome is what a worker writes.
type outcome struct {
	Error string `json:"error,omitempty"`
}

func (h *Host) compileElsewhere(ctx context.Context, file []byte) error {
	head, err := json.Marshal(order{CacheDir: h.cacheDir, Memory: compileMemory, Time: h.o.CompileTime, Size: int64(len(file))})
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	cmd := exec.CommandContext(ctx, h.o.Worker[0], h.o.Worker[1:]...) //nolint:gosec // the command is the operator's
	cmd.Env = []string{}                                              // it inherits no secret
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(head, '\n')), bytes.NewReader(file))
	var reply bytes.Buffer
	cmd.Stdout = &reply
	cmd.WaitDelay = time.Second
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var o outcome
	if err := json.Unmarshal(reply.Bytes(), &o); err != nil {
		return fmt.Errorf("compile: the worker ended without an answer: %w", errors.Join(runErr, err))
	}
	if o.Error != "" {
		return errors.New(o.Error)
	}
	return nil
}

// CompileWorker is the other side of [Options.Worker]: it compiles the one
// module that in holds into the cache that in names, and writes to out how it
// went. When it returns an error the compilation may still be running: the
// process must end.
func CompileWorker(in io.Reader, out io.Writer) error {
	err := work(in)
	var o outcome
	if err != nil {
		o.Error = err.Error()
	}
	if wrote := json.NewEncoder(out).Encode(o); wrote != nil {
		return fmt.Errorf("compile worker: %w", wrote)
	}
	return err
}

func work(in io.Reader) error {
	decoder := json.NewDecoder(in)
	var o order
	if err := decoder.Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	if o.Size < 0 || o.Size > 4*maxFile {
		return fmt.Errorf("the rewritten module has %d bytes", o.Size)
	}
	rest := io.MultiReader(decoder.Buffered(), in)
	file := make([]byte, o.Size+1)
	if _, err := io.ReadFull(rest, file); err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	debug.SetMemoryLimit(int64(min(o.Memory, 1<<40)))
	done := make(chan error, 1)
	go func() { done <- compileIntoCache(o.CacheDir, file[1:]) }() // the first byte ends the line of the order
	return supervise(done, o)
}

func compileIntoCache(dir string, file []byte) error {
	cache, err := wazero.NewCompilationCacheWithDir(dir)
	if err != nil {
		return fmt.Errorf("open the cache: %w", err)
	}
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, runtimeConfig().WithCompilationCache(cache))
	compiled, err := compileSafely(runtime, dir, file)
	if err != nil {
		return err
	}
	return errors.Join(compiled.Close(ctx), runtime.Close(ctx), cache.Close(ctx))
}

// supervise waits for a compilation within its time and memory.
func supervise(done <-chan error, o order) error {
	deadline := time.NewTimer(patience * o.Time)
	defer deadline.Stop()
	begin := processTime()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	used := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	for {
		select {
		case err := <-done:
			return err
		case <-deadline.C:
			return fmt.Errorf("its compilation took longer than %s", patience*o.Time)
		case <-look.C:
			if processTime()-begin > o.Time {
				return fmt.Errorf("its compilation needs more than %s of processor time", o.Time)
			}
			metrics.Read(used)
			if used[0].Value.Uint64() > o.Memory {
				return fmt.Errorf("its compilation needs more than %s of memory", size(int64(o.Memory))) //nolint:gosec // a limit in bytes
			}
		}
	}
}
