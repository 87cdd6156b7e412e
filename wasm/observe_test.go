package wasm //nolint:testpackage // it looks at instances from within

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// Seen is all that one run of a program lets see.
type Seen struct {
	Ended   string   // how: empty for well, otherwise the code of the reason and its first words
	Results []uint32 // of the exports that it was asked
	Output  string   // a digest
	Memory  string   // a digest
	Size    uint32   // of the memory, bytes
	Globals map[string]uint64
	Logs    int
}

// Limited reports whether a limit ended the run: a program that is not metered
// meets others, or none.
func (s Seen) Limited() bool {
	switch s.Ended {
	case "limit_fuel", "limit_depth", limitTime, canceled, "trap: its calls nest too deep":
		return true
	}
	return false
}

// Observer runs programs in every way there is, so that they can be compared.
type Observer struct {
	host    *Host
	plain   wazero.Runtime // whose programs are not metered
	Fuel    int64          // of a run that is metered
	Most    time.Duration  // for one that is not
	Request []byte         // what a run is asked
}

const (
	eagerMeter     = "eager_meter" // ticks at every charge
	observedMemory = 64 << 20
)

// NewObserver makes an Observer. The caller closes it.
func NewObserver(h *Host) (*Observer, error) {
	ctx := context.Background()
	rt := wazero.NewRuntimeWithConfig(ctx, runtimeConfig().WithCloseOnContextDone(true))
	if err := offer(ctx, rt); err != nil {
		return nil, err
	}
	_, err := rt.NewHostModuleBuilder(eagerMeter).NewFunctionBuilder().WithFunc(func(left int64) int64 {
		if left == meter.TooDeep {
			halt("limit_depth", "too deep")
		}
		return 0
	}).Export(meterTick).Instantiate(ctx)
	return &Observer{host: h, plain: rt, Fuel: 20_000_000, Most: 2 * time.Second, Request: []byte("{}")}, err
}

// Close frees what the observer took.
func (o *Observer) Close() error { return o.plain.Close(context.Background()) }

// Observed is one program in the ways in which it can run.
type Observed struct {
	o        *Observer
	file     []byte
	parsed   *meter.Module
	program  *program
	release  func()
	compiled map[string]wazero.CompiledModule // for the runtime that does not meter
}

// Open makes a file ready to be observed. The error says why it is refused.
func (o *Observer) Open(file []byte) (*Observed, error) {
	parsed, _, err := admit(reactor(), file)
	if err != nil {
		return nil, err
	}
	p, release, err := o.host.program(context.Background(), reactor(), file)
	if err != nil {
		return nil, err
	}
	return &Observed{o, file, parsed, p, release, map[string]wazero.CompiledModule{}}, nil
}

// Close lets the program go.
func (p *Observed) Close() {
	for _, c := range p.compiled {
		_ = c.Close(context.Background())
	}
	p.release()
}

// newRun is a run that sees the same on every machine at every time.
func (o *Observer) newRun(command bool) *run {
	limits := core.Limits{Memory: observedMemory, Fuel: o.Fuel}.Filled()
	return &run{
		host: o.host, limits: limits, client: o.host.nowhere, started: time.Unix(1_700_000_000, 0), frozen: true, seed: 7, input: o.Request, command: command, verbose: true,
	}
}

// script asks the exports one after the other, until one fails, and looks at
// what is left.
func (p *Observed) script(exports []string, s *Seen) invoke {
	return invoke{exports[0], func(ctx context.Context, m api.Module) (code uint32, err error) {
		defer func() { p.look(m, s) }()
		for _, name := range exports {
			if code, err = export(name).call(ctx, m); err != nil {
				return 0, err
			}
			s.Results = append(s.Results, code)
		}
		return 0, nil
	}}
}

// look takes down what m is left with.
func (p *Observed) look(m api.Module, s *Seen) {
	if memory := m.Memory(); memory != nil {
		s.Size = memory.Size()
		all, _ := memory.Read(0, s.Size)
		sum := sha256.Sum256(all)
		s.Memory = hex.EncodeToString(sum[:8])
	}
	s.Globals = map[string]uint64{}
	for _, e := range p.parsed.Exports {
		if e.Kind == meter.Global {
			s.Globals[e.Name] = m.ExportedGlobal(e.Name).Get()
		}
	}
}

// seen completes what was seen with how the run ended.
func seen(s *Seen, r *run, err error) Seen {
	s.Logs = len(r.logs)
	sum := sha256.Sum256(r.output)
	s.Output = hex.EncodeToString(sum[:8])
	if len(r.calls) > 0 {
		s.Memory = "" // answers say how long it took
	}
	if err == nil {
		return *s
	}
	why := r.diagnose(err)
	s.Ended = why.code
	if why.code == "trap" || why.code == "fault" {
		head, _ := hint(err.Error())
		s.Ended += ": " + head
	}
	return *s
}

// Plain runs the program as it was written.
func (p *Observed) Plain(exports ...string) Seen {
	return p.apart("plain", func() ([]byte, error) { return p.file, nil }, exports)
}

// Ticking runs it metered, with a tick at every charge.
func (p *Observed) Ticking(exports ...string) Seen {
	return p.apart("ticking", func() ([]byte, error) { return p.parsed.Rewrite(eagerMeter, meterTick) }, exports)
}

// compile compiles what file returns, once.
func (p *Observed) compile(name string, file func() ([]byte, error)) (wazero.CompiledModule, error) {
	if c := p.compiled[name]; c != nil {
		return c, nil
	}
	b, err := file()
	if err != nil {
		return nil, err
	}
	c, err := p.o.plain.CompileModule(context.Background(), b)
	if err == nil {
		p.compiled[name] = c
	}
	return c, err
}

// apart runs a file in the runtime that does not meter.
func (p *Observed) apart(name string, file func() ([]byte, error), exports []string) Seen {
	native, err := p.compile(name, file)
	if err != nil {
		return Seen{Ended: "it does not compile: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.o.Most)
	defer cancel()
	var s Seen
	r := p.o.newRun(p.program.command)
	its := &plan{guest: compiled{}, program: &program{file: p.parsed, compiled: native, command: p.program.command}, memory: observedMemory}
	mem := &memory{from: &its.program.memories, limit: observedMemory}
	defer mem.Free()
	setup := its.setup(p.o.host)
	err = func() (err error) {
		defer caught(&err)
		m, err := p.o.plain.InstantiateModule(experimental.WithMemoryAllocator(setup.in(ctx), mem), native, wazero.NewModuleConfig().WithName("").WithStartFunctions())
		if err != nil {
			return err
		}
		defer func() { _ = m.Close(context.WithoutCancel(ctx)) }()
		if err := its.guest.prepare(setup.in(ctx), m); err != nil {
			return err
		}
		mem.begin(observedMemory)
		r.begins(exports[0])
		_, err = p.script(exports, &s).call(r.in(ctx), m)
		return err
	}()
	setup.end(nil)
	r.end(nil)
	r.refused = mem.refused
	if ctx.Err() != nil {
		return Seen{Ended: limitTime}
	}
	return seen(&s, r, err)
}

// Fresh runs the program metered, in an instance that was made for it.
func (p *Observed) Fresh(exports ...string) Seen {
	return p.metered(context.Background(), &plan{guest: compiled{}, program: p.program, memory: observedMemory}, exports)
}

// Restored runs before in instances of the program, and then what it returns
// the sight of, each in an instance that was used if there is one.
func (p *Observed) Restored(before []string, times int, exports ...string) (all []Seen, mode string, err error) {
	ctx := context.Background()
	its := &plan{guest: compiled{}, program: p.program, memory: observedMemory}
	if err := p.o.host.settle(ctx, its); err != nil {
		why, ok := errors.AsType[*stop](err)
		if !ok {
			return nil, "", fmt.Errorf("settle: %w", err)
		}
		s := Seen{Ended: why.code}
		return []Seen{s}, "", nil
	}
	defer p.o.host.idle.end(its)
	if len(before) > 0 {
		p.metered(ctx, its, before)
	}
	for range times {
		all = append(all, p.metered(ctx, its, exports))
	}
	return all, restores(its), nil
}

func (p *Observed) metered(ctx context.Context, its *plan, exports []string) Seen {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var s Seen
	r := p.o.newRun(p.program.command)
	_, err := p.o.host.execute(ctx, its, r, p.script(exports, &s))
	return seen(&s, r, err)
}
