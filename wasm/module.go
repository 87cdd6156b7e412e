package wasm

import (
	"context"
	crand "crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Module is a loaded module with its grant. It is safe for concurrent use:
// each run has an instance of its own.
type Module struct {
	host    *Host
	plan    *plan
	release func()
	facts   core.Module
	limits  core.Limits
	rights  rights
	client  *client

	mu     sync.Mutex
	runs   int  // under way; guarded by mu
	closed bool // guarded by mu
}

// Collector is a Module with a configuration, ready to gather.
type Collector struct {
	module *Module
	config map[string]any
}

// Prepare joins m with a configuration, which its schema has accepted.
func (m *Module) Prepare(config map[string]any) *Collector { return &Collector{m, config} }

// Collect gathers one Result, see [Module.Collect].
func (c *Collector) Collect(ctx context.Context, rc core.RunContext) core.Result {
	return c.module.Collect(ctx, rc, c.config)
}

// Info describes m as a collector, see [Info].
func (m *Module) Info() core.CollectorInfo { return Info(m.facts) }

// Manifest is what m says of itself.
func (m *Module) Manifest() core.Manifest { return m.facts.Manifest }

// Limits are those of m, with the defaults filled in.
func (m *Module) Limits() core.Limits { return m.limits }

// Close lets go of the compiled code as soon as no run is under way and no
// other Module uses it. Later runs answer with Outcome Error.
func (m *Module) Close(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.runs == 0 {
		m.release()
	}
	return nil
}

// enter counts a run, unless m is closed.
func (m *Module) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.runs++
	return true
}

func (m *Module) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.runs--
	if m.closed && m.runs == 0 {
		m.release()
	}
}

// Collect runs m once. It returns when the module did, when a limit ended it,
// or shortly after ctx ended; without a deadline it has [core.DefaultTimeout].
// The Result has Outcome Error with a reason when the module could not ask.
func (m *Module) Collect(ctx context.Context, rc core.RunContext, config map[string]any) core.Result {
	return m.collect(ctx, rc, config, false)
}

// TestRun is Collect that also reports each host call in Usage.Calls, for the
// person who tries a module. It keeps no values.
func (m *Module) TestRun(ctx context.Context, rc core.RunContext, config map[string]any) core.Result {
	return m.collect(ctx, rc, config, true)
}

func (m *Module) collect(ctx context.Context, rc core.RunContext, config map[string]any, verbose bool) core.Result {
	r := m.newRun(rc)
	r.verbose, r.tape = verbose, &tape{}
	if verbose {
		r.values = &trial{m.host.o.Values, map[string]*string{}}
	}
	result, err := m.attempt(ctx, r, rc, config)
	end := ""
	if err != nil {
		result, end = m.failed(err), codeOf(err)
	}
	result.Recording = r.recording(m, abi.Collect, &result, end)
	result.Usage, result.Logs = r.usage(), r.logs
	result.Latency = result.Usage.Wall
	if r.askTime > 0 {
		result.Latency = r.askTime // of the target, without what the module computed
	}
	return result
}

// newRun is a run of m that begins now.
func (m *Module) newRun(rc core.RunContext) *run {
	return &run{
		limits: m.limits, rights: m.rights, client: m.client, host: m.host, scope: scopeOf(m.facts, rc), values: m.host.o.Values, seed: randomSeed(), started: time.Now(),
	}
}

func (m *Module) attempt(ctx context.Context, r *run, rc core.RunContext, config map[string]any) (core.Result, error) {
	raw, err := r.configuration(config)
	if err != nil {
		return core.Result{}, err
	}
	err = m.invoke(ctx, r, abi.Collect, r.seed, abi.Request{
		Kind: abi.KindCollect, Config: raw,
		Check:  abi.Check{ID: rc.Check.ID, Name: rc.Check.Name, IntervalSeconds: rc.Check.IntervalSeconds},
		System: abi.System{ID: rc.System.ID, Name: rc.System.Name, Tags: rc.System.Tags},
	})
	if err != nil {
		return core.Result{}, err
	}
	return readResponse(r.output, m.facts.Manifest.Samples)
}

// invoke asks m something, which its export of that name answers. Without a deadline it has
// [core.DefaultTimeout].
func (m *Module) invoke(ctx context.Context, r *run, name string, seed uint64, q abi.Request) error {
	end, err := m.host.begin()
	if err != nil {
		return err
	}
	defer end()
	if !m.enter() {
		return &stop{"closed", "it was unloaded"}
	}
	defer m.leave()
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, core.DefaultTimeout.Std())
		defer cancel()
	}
	if !r.replaying() {
		if err := r.ask(ctx, seed, q); err != nil {
			return err
		}
	}
	return m.host.call(ctx, m.plan, r, m.plan.guest.entry(name))
}

// configuration writes config for a guest, with handles in the place of
// secrets.
func (r *run) configuration(config map[string]any) (json.RawMessage, error) {
	if config == nil {
		config = map[string]any{}
	}
	if refers(config) {
		filled, err := r.handed(config)
		if err != nil {
			return nil, err
		}
		config, _ = filled.(map[string]any)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		return nil, &stop{"config", "its configuration cannot be written as JSON: " + err.Error()}
	}
	return raw, nil
}

func randomSeed() uint64 {
	const exact = 1<<53 - 1 // every language reads a number below this exactly
	var b [8]byte
	_, _ = crand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:]) & exact
}

// ask makes q the input of the guest and fills in what every request says.
func (r *run) ask(ctx context.Context, seed uint64, q abi.Request) error {
	r.random = seeded(seed)
	q.ABI, q.Seed, q.Now = abi.Version, seed, r.started.UTC().Format(time.RFC3339Nano)
	if deadline, ok := ctx.Deadline(); ok && q.DeadlineMS == 0 {
		q.DeadlineMS = max(time.Until(deadline).Milliseconds(), 0)
	}
	if q.Config == nil {
		q.Config = json.RawMessage("{}")
	}
	if q.System.Tags == nil {
		q.System.Tags = map[string]string{}
	}
	var err error
	if r.input, err = json.Marshal(q); err != nil {
		return &stop{"config", "its request cannot be written as JSON: " + err.Error()}
	}
	r.question = r.input
	return nil
}

// failed is the Result of a run in which the module could not ask.
func (m *Module) failed(err error) core.Result {
	code, text := "module", err.Error()
	if s, ok := errors.AsType[*stop](err); ok {
		code = s.code
	}
	why := core.Because(code, "module {module}: {reason}", "module", m.facts.Name, "reason", text)
	return core.Result{Outcome: core.Error, Why: why, Summary: clean(why.Text, maxSummary, false), Samples: core.Samples{}}
}

// call makes one run in an instance that no run has left anything in. The error
// is a *stop.
func (h *Host) call(ctx context.Context, p *plan, r *run, do invoke) error {
	free, err := h.reserve(ctx, r.limits.Memory)
	if err != nil {
		return err
	}
	defer free()
	if r.command = p.program.command; r.command {
		do = export(abi.Start)
	}
	code, err := h.execute(ctx, p, r, do)
	if err != nil && !r.exitedWell(err) {
		why := r.diagnose(err)
		if why.code == "fault" {
			h.o.Log.ErrorContext(ctx, "fault in the sandbox", slog.Any("err", err))
		}
		return why
	}
	if code != 0 {
		said := clean(string(r.output[:min(len(r.output), maxText)]), maxSummary, false)
		if said == "" {
			return &stop{"gave_up", fmt.Sprintf("%s returned %d", do.name, int32(code))} //nolint:gosec // the bits of an i32
		}
		return &stop{"gave_up", fmt.Sprintf("%s returned %d: %s", do.name, int32(code), said)} //nolint:gosec // the bits of an i32
	}
	return nil
}

// reserve takes a place for one instance.
func (h *Host) reserve(ctx context.Context, memory int64) (free func(), err error) {
	busy := &stop{"busy", "no place in the sandbox became free in the time of the run"}
	select {
	case h.instances <- struct{}{}:
	case <-ctx.Done():
		return nil, busy
	}
	weight := min(memory, h.o.MaxMemory)
	if h.memory.Acquire(ctx, weight) != nil {
		<-h.instances
		return nil, busy
	}
	return func() {
		h.memory.Release(weight)
		<-h.instances
	}, nil
}

// execute runs the guest. The instance is used again when it ended well and
// could be brought back to where it began.
func (h *Host) execute(ctx context.Context, p *plan, r *run, do invoke) (code uint32, err error) {
	in, err := h.instance(ctx, p, r)
	if err != nil {
		r.end(nil)
		return 0, err
	}
	in.memory.begin(uint64(r.limits.Memory)) //nolint:gosec // a limit is not negative
	if in.fuel != nil {
		r.granted = min(r.limits.Fuel, sliceFuel)
		in.fuel.Set(uint64(r.granted)) //nolint:gosec // not negative
	}
	r.begins(do.name)
	code, err = in.run(r.in(ctx), do)
	r.end(in)
	if err != nil || !h.again(in) {
		in.close() //nolint:contextcheck // closing an instance does not wait
		return code, err
	}
	h.idle.put(in) //nolint:contextcheck // closing an instance does not wait
	return code, nil
}

// again makes an instance ready for its next run and reports whether it may
// have one.
func (h *Host) again(in *instance) bool {
	if in.plan.state == nil {
		return h.isolation == Bare && !in.plan.program.command
	}
	return in.restore() == nil
}
