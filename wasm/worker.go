package wasm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
)

// A compilation in a process of its own is held from three sides. The process
// looks at what it uses every few milliseconds, which gives the sentence that
// names the limit. Where the kernel can, it holds the process to a little more
// than that, which also ends what grows too fast to be looked at: see
// [restrain]. And who asked for it kills it when its time is over. The process
// has a low priority, and is the first to go when the machine has no memory.

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
	o := order{CacheDir: h.cacheDir, Memory: uint64(h.o.CompileMemory), Time: h.o.CompileTime, Size: int64(len(file))} //nolint:gosec // a limit is not negative
	head, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	cmd := exec.CommandContext(ctx, h.o.Worker[0], h.o.Worker[1:]...) //nolint:gosec // the command is the operator's
	cmd.Env = []string{}                                              // it inherits no secret
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(head, '\n')), bytes.NewReader(file))
	var reply, last bytes.Buffer
	cmd.Stdout, cmd.Stderr = &reply, &last
	cmd.WaitDelay = time.Second
	runErr := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var answer outcome
	if err := json.Unmarshal(reply.Bytes(), &answer); err != nil {
		return cmp.Or(o.overstepped(cmd.ProcessState, last.String()), fmt.Errorf("compile: the worker ended without an answer: %w", errors.Join(runErr, err)))
	}
	if answer.Error != "" {
		return errors.New(answer.Error)
	}
	return nil
}

// overstepped is the limit at which the kernel ended a worker that said last
// on its standard error, nil when it was something else.
func (o order) overstepped(state *os.ProcessState, last string) error {
	switch {
	case strings.Contains(last, "out of memory") || strings.Contains(last, "cannot allocate memory"):
		return o.tooMuchMemory()
	case state != nil && state.UserTime()+state.SystemTime() > o.Time:
		return o.tooMuchTime()
	}
	return nil
}

func (o order) tooMuchMemory() error {
	return fmt.Errorf("its compilation needs more than %s of memory", size(int64(o.Memory))) //nolint:gosec // a limit in bytes
}

func (o order) tooMuchTime() error {
	return fmt.Errorf("its compilation needs more than %s of processor time", o.Time)
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
	if err := restrain(o); err != nil {
		return fmt.Errorf("restrain the worker: %w", err)
	}
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
	compiled, err := compileSafely(runtime, file)
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
				return o.tooMuchTime()
			}
			metrics.Read(used)
			if used[0].Value.Uint64() > o.Memory {
				return o.tooMuchMemory()
			}
		}
	}
}
