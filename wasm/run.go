package wasm

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// stop is the reason why the host ended a guest. Host functions panic with it;
// wazero hands it back as an error.
type stop struct {
	code string
	text string
}

// Error is the sentence.
func (s *stop) Error() string { return s.text }

func halt(code, format string, args ...any) { panic(&stop{code, fmt.Sprintf(format, args...)}) }

// run is what the host knows of one call of a module. It belongs to the
// goroutine that calls the guest.
type run struct {
	limits   core.Limits
	rights   rights
	client   *client
	host     *Host
	scope    string // of the values it keeps; empty: none
	values   Values // nil: nothing is kept
	open     bool   // it is asked, and may reach out: neither initialised nor described
	seed     uint64
	slept    time.Duration // before it was asked: the clock moves by nothing else then
	base     time.Time     // when the recorded run began, in a replay
	question []byte        // all of what it was asked
	tape     *tape         // what is recorded or replayed; nil: nothing
	started  time.Time
	input    []byte // the part that is not read yet
	random   io.Reader
	verbose  bool // keep each host call
	frozen   bool // its clock stands still at started; a function is pure
	command  bool // its standard input is input and its standard output is output

	granted   int64 // fuel that the guest was given
	extra     int64 // fuel that host calls cost
	passed    int64 // the same when it took its turn last
	output    []byte
	logs      []core.LogLine
	logBytes  int64
	logFull   bool
	partial   [3]strings.Builder // of the standard streams: a line that has not ended
	hostCalls int
	httpCalls int
	askTime   time.Duration
	tcpCalls  int
	tcpBytes  int64
	dnsCalls  int
	kvCalls   int
	kvUsed    int64
	conns     map[int]*conn
	handles   map[string]string // of the secrets that it was given: the name by handle
	used      []masked          // values that an answer must not show
	told      []string          // values that it was told
	checks    int64             // looks at the clock since it was asked
	calls     []core.HostCall
	peak      uint64 // of its memory, bytes
	refused   bool   // it asked for more memory than its limit
	narrow    bool   // the last time it asked, a table could not grow beyond the limit
	turn      bool   // it has the turn of a guest that computes for long
	exited    uint32 // the exit code, when it ended itself
	engine    *engine
	thrown    *thrown // what a script threw, when that ended it
}

type runKey struct{}

func (r *run) in(ctx context.Context) context.Context { return context.WithValue(ctx, runKey{}, r) }

// begins is called when the guest is initialised and is asked now.
func (r *run) begins(export string) {
	r.open, r.checks, r.random = export != abi.Describe, 0, seeded(r.seed)
}

// runOf is the run that ctx belongs to. Guests are called with one only.
func runOf(ctx context.Context) *run {
	r, ok := ctx.Value(runKey{}).(*run)
	if !ok {
		halt("fault", "a guest was called outside of a run")
	}
	return r
}

// seeded is the generator of a run.
func seeded(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// tick is called when the guest has used the fuel it was given; left is below
// zero by what it used more. The guest goes on with the fuel returned.
func (r *run) tick(ctx context.Context, left int64) int64 {
	if left == meter.TooDeep {
		halt("limit_depth", "its calls nest deeper than its stack of 16 MiB allows; a recursion that does not end?")
	}
	r.host.turns.pass(ctx, r)
	r.checkTime(ctx)
	used := r.granted - left
	rest := r.limits.Fuel - used - r.extra
	if rest <= 0 {
		halt("limit_fuel", "it computed longer than its limit of %d instructions allows", r.limits.Fuel)
	}
	more := min(rest, sliceFuel)
	r.granted = used + more
	return more
}

// checkTime ends the guest when the time of the run is over.
func (r *run) checkTime(ctx context.Context) {
	r.checks++
	if r.replaying() {
		r.tape.late(r.checks)
	}
	switch err := ctx.Err(); {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded):
		r.tape.ended(r.checks)
		halt(limitTime, lateText)
	default:
		r.tape.ended(r.checks)
		halt(canceled, canceledText)
	}
}

// What ends a run from outside.
const (
	limitTime    = "limit_time"
	lateText     = "it did not end in the time of the run"
	canceled     = "canceled"
	canceledText = "the run was cancelled"
)

// enter begins a call to the host that moves n bytes: it costs fuel, and
// nothing begins after the deadline. A guest that calls the host again and
// again takes turns like one that computes.
func (r *run) enter(ctx context.Context, n uint32) {
	r.hostCalls++
	r.extra += fuelHostCall + int64(n)/bytesPerFuel
	if r.extra > r.limits.Fuel {
		halt("limit_fuel", "its %d calls to the host used up its limit of %d instructions", r.hostCalls, r.limits.Fuel)
	}
	if r.extra-r.passed >= sliceFuel {
		r.passed = r.extra
		r.host.turns.pass(ctx, r)
	}
	r.checkTime(ctx)
}

// view is a range of the memory of the guest.
func view(m api.Module, name string, ptr, n uint32) []byte {
	b, ok := m.Memory().Read(ptr, n)
	if !ok {
		halt("pointer", "it called %s with %d bytes at %d, outside of its memory of %d bytes", name, n, ptr, m.Memory().Size())
	}
	return b
}

// write appends to the output.
func (r *run) write(b []byte) {
	if int64(len(r.output)+len(b)) > r.limits.Output {
		halt("limit_output", "its output is over its limit of %s", size(r.limits.Output))
	}
	r.output = append(r.output, b...)
}

// lineCost is what a line costs besides its bytes, so that empty lines are not
// free.
const lineCost = 16

// say keeps a line of the log, as long as the quota reaches.
func (r *run) say(level, text string) {
	if r.logFull {
		return
	}
	text = clean(text, maxLogLine, false)
	r.logBytes += int64(len(text)) + lineCost
	if r.logBytes > r.limits.Logs {
		r.logFull = true
		level, text = "warn", "the log ends here: its limit is "+size(r.limits.Logs)
	}
	r.logs = append(r.logs, core.LogLine{After: time.Since(r.started), Level: level, Text: text})
}

// stream is output on a standard stream, which is a log by lines.
func (r *run) stream(fd int, b []byte) {
	if r.logFull {
		return
	}
	level := "info"
	if fd == 2 {
		level = "warn"
	}
	line := &r.partial[fd]
	for len(b) > 0 {
		n := min(len(b), maxLogLine)
		end := bytes.IndexByte(b[:n], '\n')
		if end >= 0 {
			n = end
		}
		line.Write(b[:n])
		b = b[n:]
		if end < 0 && line.Len() < maxLogLine {
			return
		}
		if end >= 0 {
			b = b[1:]
		}
		r.say(level, line.String())
		line.Reset()
	}
}

// end takes stock of the instance when the guest has ended. It is nil when
// there is none.
func (r *run) end(in *instance) {
	r.host.turns.leave(r)
	for _, c := range r.conns {
		c.close()
	}
	for fd := range r.partial {
		if r.partial[fd].Len() > 0 {
			r.stream(fd, []byte("\n"))
		}
	}
	if in == nil {
		return
	}
	r.peak, r.refused = in.memory.peak, in.memory.refused
	if in.fuel != nil {
		r.granted -= int64(in.fuel.Get()) //nolint:gosec // the bits of an i64
	}
	if in.tables != nil {
		r.narrow = api.DecodeI32(in.tables.Get()) == -1
	}
}

// usage is what the run used. It is valid after end.
func (r *run) usage() *core.Usage {
	return &core.Usage{
		Wall: time.Since(r.started), Memory: int64(r.peak), //nolint:gosec // at most the limit
		Fuel: r.granted + r.extra, Output: int64(len(r.output)),
		Logs: min(r.logBytes, r.limits.Logs), HTTP: r.httpCalls,
		TCP: r.tcpCalls, TCPBytes: r.tcpBytes, DNS: r.dnsCalls, KV: r.kvUsed, HostCall: r.hostCalls, Calls: r.calls,
	}
}

// note keeps a call to the host for a test run.
func (r *run) note(name, detail string, began time.Time, allowed bool, grant string) {
	const most = 1000
	if r.verbose && len(r.calls) < most {
		r.calls = append(r.calls, core.HostCall{
			After: began.Sub(r.started), Took: time.Since(began), Name: name, Detail: clean(r.hide(detail), maxSummary, false), Allowed: allowed, Grant: grant,
		})
	}
}
