package wasm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// Types of values, for short.
const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// function is one function that guests may import. The stack holds its
// parameters, and its results when it returns. It watches ctx, pays for what
// it moves, and panics with a stop to end the guest.
type function struct {
	module  string
	name    string
	params  []api.ValueType
	results []api.ValueType
	call    func(ctx context.Context, r *run, m api.Module, stack []uint64)
}

func (f function) typ() meter.FuncType { return meter.FuncType{Params: f.params, Results: f.results} }

// functions is everything that the host offers.
func functions() []function {
	out := []function{
		{abi.HostModule, "input_length", nil, []api.ValueType{i32}, inputLength},
		{abi.HostModule, "input_read", []api.ValueType{i32, i32}, []api.ValueType{i32}, inputRead},
		{abi.HostModule, "output_write", []api.ValueType{i32, i32}, nil, outputWrite},
		{abi.HostModule, "log", []api.ValueType{i32, i32, i32}, nil, logLine},
	}
	for _, q := range inquiries() {
		out = append(out, q.function())
	}
	out = append(
		out, function{abi.HostModule, "now", nil, []api.ValueType{i64}, now}, function{abi.HostModule, "random", []api.ValueType{i32, i32}, nil, random},
	)
	return append(append(out, wasiFunctions()...), engineFunctions()...)
}

// inquiry is a call to the host that takes a JSON document and answers with
// one. It costs fuel besides what a call costs.
type inquiry struct {
	name   string
	fuel   int64
	answer func(r *run, ctx context.Context, q []byte) any
}

func inquiries() []inquiry {
	return []inquiry{
		{"http", fuelHTTP, (*run).http},
		{"tcp", fuelStep, (*run).tcp},
		{"tls_info", fuelLookup, (*run).tlsInfo},
		{"dns", fuelLookup, (*run).dns},
		{"kv_get", fuelLookup, (*run).kvGet},
		{"kv_set", fuelLookup, (*run).kvSet},
		{"secret", fuelStep, (*run).secret},
		{"reveal", fuelStep, (*run).revealed},
	}
}

// ask carries out a call with the document q.
func (i inquiry) ask(ctx context.Context, r *run, q []byte) []byte {
	r.enter(ctx, uint32(min(len(q), math.MaxUint32)))
	if len(q) > maxRequest {
		halt("limit_request", "its %s request has %d bytes, the limit is %s", i.name, len(q), size(maxRequest))
	}
	r.extra += i.fuel
	answer := r.answered(i.name, q, func() []byte { return encode(i.answer(r, ctx, q)) })
	r.extra += int64(len(answer)) / bytesPerFuel
	r.checkTime(ctx)
	return answer
}

// function is the call as modules import it: the answer is their next input.
func (i inquiry) function() function {
	return function{abi.HostModule, i.name, []api.ValueType{i32, i32}, []api.ValueType{i32}, func(ctx context.Context, r *run, m api.Module, stack []uint64) {
		r.input = i.ask(ctx, r, view(m, i.name, arg(stack, 0), arg(stack, 1)))
		stack[0] = uint64(len(r.input))
	}}
}

// arg is a parameter of type i32.
func arg(stack []uint64, i int) uint32 { return uint32(stack[i] & math.MaxUint32) }

func inputLength(ctx context.Context, r *run, _ api.Module, stack []uint64) {
	r.enter(ctx, 0)
	stack[0] = uint64(len(r.input))
}

func inputRead(ctx context.Context, r *run, m api.Module, stack []uint64) {
	ptr, n := arg(stack, 0), min(arg(stack, 1), uint32(len(r.input))) //nolint:gosec // at most some megabytes
	into := view(m, "input_read", ptr, n)
	r.enter(ctx, n)
	stack[0] = uint64(copy(into, r.input)) //nolint:gosec // not negative
	r.input = r.input[n:]
}

func outputWrite(ctx context.Context, r *run, m api.Module, stack []uint64) {
	ptr, n := arg(stack, 0), arg(stack, 1)
	b := view(m, "output_write", ptr, n)
	r.enter(ctx, n)
	r.write(b)
}

func logLine(ctx context.Context, r *run, m api.Module, stack []uint64) {
	level, ptr, n := arg(stack, 0), arg(stack, 1), arg(stack, 2)
	b := view(m, "log", ptr, n)
	r.enter(ctx, min(n, 4*maxLogLine))
	levels := [...]string{"debug", "info", "warn", "error"}
	if !r.logFull {
		r.say(levels[min(level, 3)], string(b[:min(len(b), 4*maxLogLine)]))
	}
}

// encode writes an answer.
func encode(answer any) []byte {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(answer); err != nil {
		halt("fault", "the host could not write its answer: %v", err)
	}
	return out.Bytes()
}

// decode reads what the guest asks; the error says what is wrong with it.
func decode(q []byte, into any) *abi.CallError {
	if err := json.Unmarshal(q, into); err != nil {
		return problem(abi.CodeInvalid, "the request is not the JSON of a request: %s", clean(err.Error(), 200, false))
	}
	return nil
}

func now(ctx context.Context, r *run, _ api.Module, stack []uint64) {
	r.enter(ctx, 0)
	stack[0] = uint64(r.now().UnixNano())
}

// now is the clock of the guest: the start of the run and the time since.
func (r *run) now() time.Time { return r.clockBase().Add(r.elapsed()) }

func random(ctx context.Context, r *run, m api.Module, stack []uint64) {
	ptr, n := arg(stack, 0), arg(stack, 1)
	b := view(m, "random", ptr, n)
	r.enter(ctx, n)
	r.fill(b)
}

// fill costs more than a copy does.
func (r *run) fill(b []byte) {
	r.extra += int64(len(b)) / 2
	_, _ = r.random.Read(b) // ChaCha8 never fails
}

// The function that a rewritten module calls when it is out of fuel.
const (
	meterModule = "tocsin_meter"
	meterTick   = "tick"
)

// waits reports whether a function may wait for something else than this
// machine's processors.
func waits(name string) bool {
	switch name {
	case "http", "tcp", "tls_info", "dns", "kv_get", "kv_set", "poll_oneoff":
		return true
	}
	return false
}

// offer registers all host functions with a runtime.
func offer(ctx context.Context, runtime wazero.Runtime) error {
	builders := map[string]wazero.HostModuleBuilder{}
	builder := func(module string) wazero.HostModuleBuilder {
		if builders[module] == nil {
			builders[module] = runtime.NewHostModuleBuilder(module)
		}
		return builders[module]
	}
	for _, f := range functions() {
		builder(f.module).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, m api.Module, stack []uint64) {
			for i, t := range f.params {
				if t == i32 {
					stack[i] &= math.MaxUint32 // the upper half is whatever was there
				}
			}
			r := runOf(ctx)
			if !r.turn || !waits(f.name) {
				f.call(ctx, r, m, stack)
				return
			}
			r.host.turns.leave(r)
			f.call(ctx, r, m, stack)
			r.host.turns.pass(ctx, r)
		}), f.params, f.results).Export(f.name)
	}
	builder(meterModule).NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(func(ctx context.Context, _ api.Module, stack []uint64) {
		stack[0] = uint64(runOf(ctx).tick(ctx, int64(stack[0]))) //nolint:gosec // the bits of an i64
	}), []api.ValueType{i64}, []api.ValueType{i64}).Export(meterTick)
	for module, b := range builders {
		if _, err := b.Instantiate(ctx); err != nil {
			return fmt.Errorf("offer %s to guests: %w", module, err)
		}
	}
	return nil
}

// checkImports reports the first import that the host does not offer to
// programs that may import from those modules.
func checkImports(m *meter.Module, modules []string) error {
	offered := slices.DeleteFunc(functions(), func(f function) bool { return !slices.Contains(modules, f.module) })
	for _, im := range m.Imports {
		i := slices.IndexFunc(offered, func(f function) bool { return f.module == im.Module && f.name == im.Name })
		if i < 0 {
			var names []string
			for _, f := range offered {
				if f.module == abi.HostModule {
					names = append(names, f.name)
				}
			}
			return fmt.Errorf("it imports %s.%s, which is not offered; offered are %s (%s) and %s",
				clean(im.Module, 100, false), clean(im.Name, 100, false), abi.HostModule, strings.Join(names, ", "), wasiModule)
		}
		if want := offered[i].typ(); !want.Equal(im.Type) {
			return fmt.Errorf("it imports %s.%s as %s; it is %s", im.Module, im.Name, im.Type, want)
		}
	}
	return nil
}
