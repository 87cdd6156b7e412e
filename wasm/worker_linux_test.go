package wasm_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// tell prints what the kernel holds this process to.
func tell() {
	for _, path := range []string{"/proc/self/limits", "/proc/self/oom_score_adj", "/proc/self/stat"} {
		text, err := os.ReadFile(path)
		fmt.Println(string(text), err) //nolint:forbidigo // this is a program
	}
}

// asWorker runs this binary as a worker, and returns how it ended and what it
// said.
func asWorker(t *testing.T, does string) (state *os.ProcessState, out, last string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], does)
	cmd.Env = []string{}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // how it ended is in the state
	return cmd.ProcessState, stdout.String(), stderr.String()
}

// A worker is held by the kernel too, to its memory and its time, and gives
// way to everything else.
// acceptance 38.
func TestWorkerIsRestrained(t *testing.T) {
	t.Parallel()
	state, out, last := asWorker(t, tellArgument)
	if !state.Success() {
		t.Fatal(state, last)
	}
	soft := func(name string) uint64 {
		_, rest, found := strings.Cut(out, name)
		if !found {
			t.Fatalf("no %s in %s", name, out)
		}
		n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64) // 0 when unlimited
		return n
	}
	if got := soft("Max cpu time"); got < 1 || got > 3 {
		t.Errorf("its processor time is limited to %d seconds, want about 1", got)
	}
	if got := soft("Max data size"); got < hungryMemory {
		t.Errorf("its memory is limited to %d bytes", got)
	}
	if !strings.Contains(out, "\n1000\n") {
		t.Errorf("it is not the first to go when there is no memory: %s", out)
	}
	_, stat, _ := strings.Cut(out, ") ")
	if nice, err := strconv.Atoi(strings.Fields(stat)[16]); err != nil || nice < 5 {
		t.Errorf("its nice value is %d, want 5 at least", nice)
	}
}

// What the kernel ends is told apart, by its limit.
// acceptance 38.
func TestWorkerEndedByKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector, which takes memory of its own, another limit ends the worker")
	}
	t.Parallel()
	state, _, last := asWorker(t, hungryArgument)
	if err := wasm.Overstepped(hungryMemory, busyTime, state, last); err == nil || err.Error() != "its compilation needs more than 64 MiB of memory" {
		t.Errorf("a worker that takes memory ended with %s, %v: %.200s", state, err, last)
	}
	state, _, last = asWorker(t, busyArgument)
	if err := wasm.Overstepped(hungryMemory, busyTime, state, last); err == nil || err.Error() != "its compilation needs more than 1s of processor time" {
		t.Errorf("a worker that takes time ended with %s, %v: %.200s", state, err, last)
	}
	if status, ok := state.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Errorf("a worker that takes time ended with %s, want that it was killed", state)
	}
	h := newHost(t, wasm.Options{CompileMemory: hungryMemory, Worker: []string{os.Args[0], hungryArgument}})
	if _, err := h.Inspect(t.Context(), readFile(t, "testdata/modules/tiny.wasm")); err == nil || err.Error() != "its compilation needs more than 64 MiB of memory" {
		t.Errorf("Inspect with a worker that takes memory: %v", err)
	}
	h = newHost(t, wasm.Options{Worker: []string{os.Args[0], workerArgument}})
	m := load(t, h, "modules/tiny", core.Grant{}, number())
	if got := m.Collect(t.Context(), someone, nil); got.Outcome != core.Pass {
		t.Errorf("Collect afterwards = %s %v", got.Outcome, got.Why)
	}
}
