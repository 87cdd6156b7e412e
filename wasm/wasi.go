package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"time"

	"github.com/tetratelabs/wazero/api"
)

// wasiModule is WASI preview 1. The language runtimes of guests need it; it
// grants nothing: no files, no environment, no sockets. Its clock and its
// random numbers are those of the run, its output is the log of the run; of a
// command the standard input is the request and the standard output the answer.
const wasiModule = "wasi_snapshot_preview1"

// The error numbers of WASI that occur.
const (
	wasiOK     = 0
	wasiBadFD  = 8
	wasiInval  = 28
	wasiNoSys  = 52
	wasiNoSeek = 70
)

const wasiVectors = 1024 // or subscriptions, in one call

// errno is a function of WASI that answers with an error number.
type errno func(ctx context.Context, r *run, m api.Module, stack []uint64) uint64

func wasi(name string, call errno, params ...api.ValueType) function {
	return function{wasiModule, name, params, []api.ValueType{i32}, func(ctx context.Context, r *run, m api.Module, stack []uint64) {
		r.enter(ctx, 0)
		stack[0] = call(ctx, r, m, stack)
	}}
}

func always(n uint64) errno {
	return func(context.Context, *run, api.Module, []uint64) uint64 { return n }
}

func wasiFunctions() []function {
	badFD, noSys := always(wasiBadFD), always(wasiNoSys)
	return []function{
		wasi("args_get", always(wasiOK), i32, i32),
		wasi("args_sizes_get", wasiNone, i32, i32),
		wasi("environ_get", always(wasiOK), i32, i32),
		wasi("environ_sizes_get", wasiNone, i32, i32),
		wasi("clock_res_get", wasiClockRes, i32, i32),
		wasi("clock_time_get", wasiClockTime, i32, i64, i32),
		wasi("fd_advise", badFD, i32, i64, i64, i32),
		wasi("fd_allocate", badFD, i32, i64, i64),
		wasi("fd_close", wasiStandard, i32),
		wasi("fd_datasync", badFD, i32),
		wasi("fd_fdstat_get", wasiStat, i32, i32),
		wasi("fd_fdstat_set_flags", wasiStandard, i32, i32),
		wasi("fd_fdstat_set_rights", badFD, i32, i64, i64),
		wasi("fd_filestat_get", badFD, i32, i32),
		wasi("fd_filestat_set_size", badFD, i32, i64),
		wasi("fd_filestat_set_times", badFD, i32, i64, i64, i32),
		wasi("fd_pread", badFD, i32, i32, i32, i64, i32),
		wasi("fd_prestat_get", badFD, i32, i32),
		wasi("fd_prestat_dir_name", badFD, i32, i32, i32),
		wasi("fd_pwrite", badFD, i32, i32, i32, i64, i32),
		wasi("fd_read", wasiRead, i32, i32, i32, i32),
		wasi("fd_readdir", badFD, i32, i32, i32, i64, i32),
		wasi("fd_renumber", badFD, i32, i32),
		wasi("fd_seek", wasiSeek, i32, i64, i32, i32),
		wasi("fd_sync", badFD, i32),
		wasi("fd_tell", wasiSeek, i32, i32),
		wasi("fd_write", wasiWrite, i32, i32, i32, i32),
		wasi("path_create_directory", badFD, i32, i32, i32),
		wasi("path_filestat_get", badFD, i32, i32, i32, i32, i32),
		wasi("path_filestat_set_times", badFD, i32, i32, i32, i32, i64, i64, i32),
		wasi("path_link", badFD, i32, i32, i32, i32, i32, i32, i32),
		wasi("path_open", badFD, i32, i32, i32, i32, i32, i64, i64, i32, i32),
		wasi("path_readlink", badFD, i32, i32, i32, i32, i32, i32),
		wasi("path_remove_directory", badFD, i32, i32, i32),
		wasi("path_rename", badFD, i32, i32, i32, i32, i32, i32),
		wasi("path_symlink", badFD, i32, i32, i32, i32, i32),
		wasi("path_unlink_file", badFD, i32, i32, i32),
		wasi("poll_oneoff", wasiPoll, i32, i32, i32, i32),
		{wasiModule, "proc_exit", []api.ValueType{i32}, nil, wasiExit},
		wasi("proc_raise", noSys, i32),
		wasi("random_get", wasiRandom, i32, i32),
		wasi("sched_yield", always(wasiOK)),
		wasi("sock_accept", badFD, i32, i32, i32),
		wasi("sock_recv", badFD, i32, i32, i32, i32, i32, i32),
		wasi("sock_send", badFD, i32, i32, i32, i32, i32),
		wasi("sock_shutdown", badFD, i32, i32),
	}
}

func put32(m api.Module, name string, ptr, v uint32) {
	binary.LittleEndian.PutUint32(view(m, name, ptr, 4), v)
}

func put64(m api.Module, name string, ptr uint32, v uint64) {
	binary.LittleEndian.PutUint64(view(m, name, ptr, 8), v)
}

// wasiNone says that there are no arguments or variables.
func wasiNone(_ context.Context, _ *run, m api.Module, stack []uint64) uint64 {
	put32(m, "args_sizes_get", arg(stack, 0), 0)
	put32(m, "args_sizes_get", arg(stack, 1), 0)
	return wasiOK
}

func wasiClockRes(_ context.Context, _ *run, m api.Module, stack []uint64) uint64 {
	if stack[0] > 1 {
		return wasiInval
	}
	put64(m, "clock_res_get", arg(stack, 1), 1)
	return wasiOK
}

// clock reads the clock of the run: 0 is of the day, 1 is monotonic.
func (r *run) clock(id uint64) (ns uint64, ok bool) {
	switch id {
	case 0:
		return uint64(r.now().UnixNano()), true
	case 1:
		return uint64(r.elapsed()) + 1, true //nolint:gosec // not negative; zero means "never" to some guests
	}
	return 0, false
}

func wasiClockTime(_ context.Context, r *run, m api.Module, stack []uint64) uint64 {
	ns, ok := r.clock(stack[0])
	if !ok {
		return wasiInval
	}
	put64(m, "clock_time_get", arg(stack, 2), ns)
	return wasiOK
}

// wasiStandard accepts what changes nothing on a standard stream.
func wasiStandard(_ context.Context, _ *run, _ api.Module, stack []uint64) uint64 {
	if stack[0] > 2 {
		return wasiBadFD
	}
	return wasiOK
}

// wasiStat says that the standard streams are character devices.
func wasiStat(_ context.Context, _ *run, m api.Module, stack []uint64) uint64 {
	if stack[0] > 2 {
		return wasiBadFD
	}
	const rightRead, rightWrite = 1 << 1, 1 << 6
	b := view(m, "fd_fdstat_get", arg(stack, 1), 24)
	clear(b)
	b[0] = 2 // character device
	rights := uint64(rightWrite)
	if stack[0] == 0 {
		rights = rightRead
	}
	binary.LittleEndian.PutUint64(b[8:], rights)
	return wasiOK
}

func wasiSeek(_ context.Context, _ *run, _ api.Module, stack []uint64) uint64 {
	if stack[0] > 2 {
		return wasiBadFD
	}
	return wasiNoSeek
}

// wasiRead reads the standard input. Of a command that is its request, of a
// reactor it is empty.
func wasiRead(ctx context.Context, r *run, m api.Module, stack []uint64) uint64 {
	vectors := arg(stack, 2)
	if stack[0] != 0 {
		return wasiBadFD
	}
	if vectors > wasiVectors {
		return wasiInval
	}
	var sum uint32
	if r.command {
		list := view(m, "fd_read", arg(stack, 1), 8*vectors)
		for ; len(list) > 0 && len(r.input) > 0; list = list[8:] {
			b := view(m, "fd_read", binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
			n := copy(b, r.input)
			r.enter(ctx, uint32(n)) //nolint:gosec // a part of the memory
			r.input = r.input[n:]
			sum += uint32(n) //nolint:gosec // a part of the memory
		}
	}
	put32(m, "fd_read", arg(stack, 3), sum)
	return wasiOK
}

func wasiWrite(ctx context.Context, r *run, m api.Module, stack []uint64) uint64 {
	fd, vectors := stack[0], arg(stack, 2)
	if fd != 1 && fd != 2 {
		return wasiBadFD
	}
	if vectors > wasiVectors {
		return wasiInval
	}
	list := view(m, "fd_write", arg(stack, 1), 8*vectors)
	var sum uint32
	for ; len(list) > 0; list = list[8:] {
		b := view(m, "fd_write", binary.LittleEndian.Uint32(list), binary.LittleEndian.Uint32(list[4:]))
		r.enter(ctx, uint32(len(b))) //nolint:gosec // a part of the memory
		if fd == 1 && r.command {
			r.write(b)
		} else {
			r.stream(int(fd), b) //nolint:gosec // 1 or 2
		}
		sum += uint32(len(b)) //nolint:gosec // a part of the memory
	}
	put32(m, "fd_write", arg(stack, 3), sum)
	return wasiOK
}

func wasiRandom(ctx context.Context, r *run, m api.Module, stack []uint64) uint64 {
	b := view(m, "random_get", arg(stack, 0), arg(stack, 1))
	r.enter(ctx, uint32(len(b))) //nolint:gosec // a part of the memory
	r.fill(b)
	return wasiOK
}

func wasiExit(ctx context.Context, r *run, _ api.Module, stack []uint64) {
	r.enter(ctx, 0)
	r.exited = arg(stack, 0)
	halt("exit", "it ended itself with exit code %d", r.exited)
}

// wasiPoll sleeps until the first clock that is subscribed to. Streams are
// always ready. Sizes and offsets are those of the specification.
func wasiPoll(ctx context.Context, r *run, m api.Module, stack []uint64) uint64 {
	const subscription, event = 48, 32
	n := arg(stack, 2)
	if n == 0 || n > wasiVectors {
		return wasiInval
	}
	in := bytes.Clone(view(m, "poll_oneoff", arg(stack, 0), n*subscription)) // the guest may let both overlap
	out := view(m, "poll_oneoff", arg(stack, 1), n*event)
	r.enter(ctx, n*subscription)

	wait, streams := r.soonest(in)
	if !streams {
		r.sleep(ctx, wait)
	}
	var events uint32
	for s := in; len(s) > 0; s = s[subscription:] {
		clockEvent := s[8] == 0
		if left, ok := r.until(s); clockEvent && (streams || !ok || left > wait) {
			continue
		}
		e := out[events*event:][:event]
		user, tag := binary.LittleEndian.Uint64(s), s[8]
		clear(e)
		binary.LittleEndian.PutUint64(e, user)
		e[10] = tag
		events++
	}
	put32(m, "poll_oneoff", arg(stack, 3), events)
	return wasiOK
}

// soonest is the shortest wait among subscriptions, and whether one of them is
// to a stream.
func (r *run) soonest(subscriptions []byte) (wait time.Duration, streams bool) {
	wait = math.MaxInt64
	for s := subscriptions; len(s) > 0; s = s[48:] {
		if s[8] != 0 {
			streams = true
		} else if left, ok := r.until(s); ok {
			wait = min(wait, left)
		}
	}
	return wait, streams
}

// until is how long a subscription to a clock has to wait.
func (r *run) until(s []byte) (time.Duration, bool) {
	at := binary.LittleEndian.Uint64(s[24:])
	if s[40]&1 != 0 { // absolute
		ns, ok := r.clock(uint64(binary.LittleEndian.Uint32(s[16:])))
		if !ok || at <= ns {
			return 0, ok
		}
		at -= ns
	}
	return time.Duration(min(at, math.MaxInt64)), true
}

// sleep lets the guest wait. Before it is asked its clock moves instead.
func (r *run) sleep(ctx context.Context, d time.Duration) {
	switch {
	case r.frozen:
	case !r.open:
		r.slept += min(d, time.Hour)
	default:
		if !r.replaying() {
			pause(ctx, d)
		}
		r.checkTime(ctx)
	}
}

// pause waits until d has passed or ctx ended.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
