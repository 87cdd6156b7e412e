package wasm

import (
	"fmt"
	"math"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// spare is what the kernel lets a worker have besides its limit, bytes: the
// program itself, what the Go runtime takes in pieces of 64 MiB, and garbage
// that waits for its collector.
const spare = 256 << 20

// restrain makes the kernel hold this process to an order. The limit of memory
// is RLIMIT_DATA, which counts the memory that can be written: RLIMIT_AS would
// count the address space that the Go runtime reserves and does not use. The
// limit of time is in whole seconds, rounded up.
func restrain(o order) error {
	used, err := writable()
	if err != nil {
		return err
	}
	if err := limit(unix.RLIMIT_DATA, used+o.Memory+spare); err != nil {
		return err
	}
	if err := limit(unix.RLIMIT_CPU, uint64(math.Ceil((processTime() + o.Time).Seconds()))); err != nil {
		return err
	}
	// What follows is a courtesy to others: a container may not allow it.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0)
	lower()
	return nil
}

// limit sets a limit of this process, or leaves a lower one.
func limit(resource int, to uint64) error {
	var now unix.Rlimit
	if err := unix.Getrlimit(resource, &now); err != nil {
		return fmt.Errorf("read a limit of the process: %w", err)
	}
	now.Cur = min(now.Max, to)
	now.Max = now.Cur
	if err := unix.Setrlimit(resource, &now); err != nil {
		return fmt.Errorf("limit the process: %w", err)
	}
	return nil
}

// writable is what RLIMIT_DATA counts of this process already, bytes.
func writable() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var total, resident, shared, code, libraries, data uint64
	if _, err := fmt.Sscan(string(text), &total, &resident, &shared, &code, &libraries, &data); err != nil {
		return 0, err
	}
	return data * uint64(os.Getpagesize()), nil //nolint:gosec // not negative
}

// lower gives every thread of this process a low priority, which those that
// they start inherit.
func lower() {
	const nice = 5
	for range 2 { // one may start while the first round is under way
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil {
				continue
			}
			if now, err := unix.Getpriority(unix.PRIO_PROCESS, id); err == nil && 20-now < nice { // the kernel answers 20 - nice
				_ = unix.Setpriority(unix.PRIO_PROCESS, id, nice)
			}
		}
	}
}
