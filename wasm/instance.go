package wasm

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// plan is what instances of one Module have in common: the program, the memory
// that it may have, and the state that they go back to.
type plan struct {
	program *program
	guest   guest
	memory  int64  // the limit, bytes
	state   *state // nil: each run has a new instance
	ended   bool   // guarded by idle.mu
}

// state is everything that a run of a program can change, as it is after its
// initialisation.
type state struct {
	image     *image
	variables []uint64
}

// instance is one instantiation of a program. It belongs to one goroutine at a
// time.
type instance struct {
	plan      *plan
	module    *module
	memory    *memory
	fuel      api.MutableGlobal
	tables    api.Global // see [meter.TableGlobal]; nil when it grows none
	variables []api.MutableGlobal
	runs      int

	place *list.Element // while it is idle
	since time.Time     // when it became idle
}

// instance takes an idle instance of p, or makes one. A new one has run its
// initialisation, with what r has for it.
func (h *Host) instance(ctx context.Context, p *plan, r *run) (*instance, error) {
	if in := h.idle.take(p); in != nil {
		return in, nil
	}
	in, err := h.instantiate(ctx, p, r)
	if err != nil {
		return nil, err
	}
	if p.state == nil {
		return in, nil
	}
	if err := in.restore(); err != nil {
		in.close() //nolint:contextcheck // closing an instance does not wait
		return nil, err
	}
	return in, nil
}

// instantiate makes an instance and initialises it, unless its state is known.
func (h *Host) instantiate(ctx context.Context, p *plan, r *run) (*instance, error) {
	setup := p.setup(h)
	in := &instance{plan: p, memory: &memory{from: &p.program.memories, limit: uint64(p.memory)}} //nolint:gosec // a limit is not negative
	if p.state != nil {
		var err error
		if in.memory.mapped, err = newMapping(p.state.image, uint64(p.memory)); err != nil { //nolint:gosec // a limit is not negative
			return nil, err
		}
	}
	ctx = experimental.WithMemoryAllocator(setup.in(ctx), in.memory)
	err := func() (err error) {
		defer caught(&err)
		m, err := h.runtime.InstantiateModule(ctx, p.program.compiled, wazero.NewModuleConfig().WithName("").WithStartFunctions())
		if err != nil {
			return err
		}
		in.module = &module{m, map[string]api.Function{}}
		if h.isolation != Bare {
			in.reach()
		}
		if p.state != nil {
			return nil
		}
		return p.guest.prepare(ctx, in.module)
	}()
	setup.end(in)
	if err != nil {
		r.adopt(setup)
		in.close() //nolint:contextcheck // closing an instance does not wait
		return nil, err
	}
	return in, nil
}

// settle runs the initialisation of p once and keeps the state after it, so
// that runs begin there. The error is a *stop.
func (h *Host) settle(ctx context.Context, p *plan) error {
	if p.program.command || p.program.file.Irreversible || h.isolation != Restored {
		return nil // a command has ended when it has run; the others change what cannot be restored
	}
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	free, err := h.reserve(ctx, p.memory)
	if err != nil {
		return err
	}
	defer free()
	r := p.setup(h)
	in, err := h.instantiate(ctx, p, r)
	if err != nil {
		return r.diagnose(err)
	}
	defer in.close() //nolint:contextcheck // closing an instance does not wait
	p.state, err = in.capture()
	return err
}

// setup is the run of an initialisation: it is the same in every instance and
// on every machine, so that a recorded run can be repeated elsewhere. It has
// nothing granted, its random numbers are always the same, and its clock moves
// only when it sleeps.
func (p *plan) setup(h *Host) *run {
	limits := core.Limits{Memory: p.memory, Fuel: describeFuel}.Filled()
	return &run{host: h, limits: limits, client: h.nowhere, started: time.Now(), random: seeded(0), command: p.program.command}
}

// adopt takes over what an initialisation left that failed: r is the run that
// needed it.
func (r *run) adopt(setup *run) {
	r.logs, r.logBytes, r.logFull = setup.logs, setup.logBytes, setup.logFull
	r.granted += setup.granted
	r.extra += setup.extra
	r.peak, r.refused, r.narrow = setup.peak, setup.refused, setup.narrow
	r.thrown = setup.thrown
}

// reach finds the variables of a new instance.
func (in *instance) reach() {
	global := func(name string) api.MutableGlobal {
		g, ok := in.module.ExportedGlobal(name).(api.MutableGlobal)
		if !ok {
			halt("fault", "a rewritten module lacks %s", name)
		}
		return g
	}
	in.fuel = global(meter.FuelGlobal)
	if in.plan.program.file.GrowsTables {
		in.tables = global(meter.TableGlobal)
	}
	for _, name := range in.plan.program.variables {
		in.variables = append(in.variables, global(name))
	}
}

// caught turns a panic on our side into an error of this run only.
func caught(err *error) {
	if e := recover(); e != nil {
		if s, ok := e.(*stop); ok {
			*err = s
			return
		}
		*err = fmt.Errorf("panic: %v", e)
	}
}

// renew is after how many runs an instance gets new stacks: a run that nested
// deep has made its stack large.
const renew = 256

// run makes one run of the guest.
func (in *instance) run(ctx context.Context, do invoke) (code uint32, err error) {
	defer caught(&err)
	if in.runs++; in.runs%renew == 0 {
		clear(in.module.calls)
	}
	return do.call(ctx, in.module)
}

// module is an instantiated module that keeps the functions it was asked for:
// each has a stack of its own.
type module struct {
	api.Module
	calls map[string]api.Function
}

// ExportedFunction implements [api.Module].
func (m *module) ExportedFunction(name string) api.Function {
	f, ok := m.calls[name]
	if !ok {
		f = m.Module.ExportedFunction(name)
		m.calls[name] = f
	}
	return f
}

// capture is the state that the instance is in.
func (in *instance) capture() (*state, error) {
	im, err := newImage(in.memory)
	if err != nil {
		return nil, err
	}
	s := &state{image: im, variables: make([]uint64, len(in.variables))}
	for i, g := range in.variables {
		s.variables[i] = g.Get()
	}
	return s, nil
}

var errNotRestored = errors.New("an instance cannot go back to its first state")

// restore brings the instance back to the state of its plan: nothing that a
// run wrote is left. Tables need no restoring, see [Host.settle].
func (in *instance) restore() error {
	s := in.plan.state
	if err := in.resize(s.image.size); err != nil {
		return err
	}
	if err := in.memory.restore(s.image); err != nil {
		return err
	}
	for i, g := range in.variables {
		g.Set(s.variables[i])
	}
	return nil
}

// resize makes the memory of the instance so many bytes large. The runtime
// knows growing only; it takes what the allocator gives, which is less here.
func (in *instance) resize(size uint64) error {
	m := in.memory
	switch {
	case m.size < size:
		m.limit = max(m.limit, size)
		if _, ok := in.module.Memory().Grow(uint32((size - m.size) >> 16)); !ok { //nolint:gosec // at most 4,096 pages
			return errNotRestored
		}
	case m.size > size:
		m.shrink = size
		_, ok := in.module.Memory().Grow(1) // false when the memory has its maximum: then it is not asked
		m.shrink = 0
		if !ok {
			return errNotRestored
		}
	}
	if m.size != size || uint64(in.module.Memory().Size()) != size {
		return errNotRestored
	}
	return nil
}

func (in *instance) close() {
	if in.module == nil {
		in.memory.Free() // freeing twice is harmless
		return
	}
	_ = in.module.Close(context.Background()) // closing an instance cannot fail: it has no files
}

// idle keeps instances that wait for their next run, those that ran last in
// front.
type idle struct {
	most int64 // bytes

	mu      sync.Mutex
	byPlan  map[*plan][]*instance // guarded by mu; the last ran last
	all     *list.List            // guarded by mu; of *instance
	weight  int64                 // guarded by mu
	stopped bool                  // guarded by mu
}

const (
	idleTime = time.Minute // after which an idle instance may go
	idleCost = 32 << 10    // bytes that an instance takes besides its memory, about
)

func newIdle(most int64) *idle {
	return &idle{most: most, byPlan: map[*plan][]*instance{}, all: list.New()}
}

func (i *idle) take(p *plan) *instance {
	i.mu.Lock()
	defer i.mu.Unlock()
	waiting := i.byPlan[p]
	if len(waiting) == 0 {
		return nil
	}
	in := waiting[len(waiting)-1]
	i.remove(in)
	return in
}

// remove forgets an instance that is idle. The caller holds mu.
func (i *idle) remove(in *instance) {
	waiting := i.byPlan[in.plan]
	for k, w := range slices.Backward(waiting) {
		if w == in {
			waiting = append(waiting[:k], waiting[k+1:]...)
			break
		}
	}
	if len(waiting) == 0 {
		delete(i.byPlan, in.plan)
	} else {
		i.byPlan[in.plan] = waiting
	}
	i.all.Remove(in.place)
	i.weight -= in.weight()
}

func (in *instance) weight() int64 { return in.memory.weight() + idleCost }

// put keeps an instance, and lets those go that have been idle for long or
// take too much together. Instances of a plan that has ended go at once.
func (i *idle) put(in *instance) {
	in.since = time.Now()
	i.mu.Lock()
	var gone []*instance
	if i.stopped || in.plan.ended {
		gone = append(gone, in)
	} else {
		in.place = i.all.PushFront(in)
		i.byPlan[in.plan] = append(i.byPlan[in.plan], in)
		i.weight += in.weight()
		for e := i.all.Back(); e != nil; e = i.all.Back() {
			old := e.Value.(*instance) //nolint:errcheck // nothing else is in the list
			if i.weight <= i.most && in.since.Sub(old.since) < idleTime {
				break
			}
			i.remove(old)
			gone = append(gone, old)
		}
	}
	i.mu.Unlock()
	for _, old := range gone {
		old.close()
	}
}

// end closes the idle instances of p, and those that come back later.
func (i *idle) end(p *plan) {
	i.mu.Lock()
	p.ended = true
	gone := append([]*instance(nil), i.byPlan[p]...)
	for _, in := range gone {
		i.remove(in)
	}
	i.mu.Unlock()
	for _, in := range gone {
		in.close()
	}
	if p.state != nil {
		p.state.image.close()
	}
}

// stop is end for all plans.
func (i *idle) stop() {
	i.mu.Lock()
	i.stopped = true
	var gone []*instance
	for e := i.all.Front(); e != nil; e = i.all.Front() {
		in := e.Value.(*instance) //nolint:errcheck // nothing else is in the list
		i.remove(in)
		gone = append(gone, in)
	}
	i.mu.Unlock()
	for _, in := range gone {
		in.close()
	}
}
