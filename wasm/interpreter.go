package wasm

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
	"github.com/tocsin-io/tocsin/wasm/script"
)

// engineModule is what the interpreter of scripts imports besides WASI. Only it
// may.
const engineModule = "env"

// engineStack is how much of its stack of 1 MiB a script may use, bytes. The
// rest is for the interpreter's own calls.
const engineStack = 256 << 10

// interpreter is the kind of the program that runs scripts.
func interpreter() *kind {
	return &kind{name: "interpreter", imports: []string{engineModule, wasiModule}, check: func(m *meter.Module) error {
		return checkExport(m, "qjs_init", meter.FuncType{Results: []byte{i32}}, true)
	}}
}

// engineDigest is the digest of the interpreter.
//
//nolint:gochecknoglobals // computed once, and never changed
var engineDigest = sync.OnceValue(func() string { return digest(script.Engine()) })

// engineFunctions are what the interpreter imports. It is asked for nothing but
// host_call: it finds no modules, its time zone is UTC, and fuel interrupts it.
func engineFunctions() []function {
	none := func(_ context.Context, _ *run, _ api.Module, stack []uint64) {
		if len(stack) > 0 {
			stack[0] = 0
		}
	}
	one := []api.ValueType{i32}
	return []function{
		{engineModule, "host_get_timezone_offset", []api.ValueType{i32, i32}, one, none},
		{engineModule, "host_interrupt", nil, one, none},
		{engineModule, "host_promise_rejection", []api.ValueType{i32, i32, i32}, nil, none},
		{engineModule, "host_module_normalize", []api.ValueType{i32, i32}, one, none},
		{engineModule, "host_module_load", []api.ValueType{i32, i32}, one, none},
		{engineModule, "host_call", []api.ValueType{i32, i32, i32, i32, i32}, one, hostCall},
	}
}

// interpreter is the program that runs scripts. Once it was needed it stays
// compiled. The caller releases it.
func (h *Host) interpreter(ctx context.Context) (*program, func(), error) {
	p, release, err := h.program(ctx, interpreter(), script.Engine())
	if err != nil {
		return nil, nil, fmt.Errorf("the interpreter of scripts: %w", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.engine {
		h.engine = true
		p.users++
	}
	return p, release, nil
}

// scripted is a script, as the interpreter runs it.
type scripted struct{ program *script.Program }

// prepare makes the interpreter ready and evaluates the script, up to its
// functions.
func (s *scripted) prepare(ctx context.Context, m api.Module) error {
	e := s.engine(ctx, m)
	e.call("_initialize")
	if e.call("qjs_init") != 0 {
		e.fail(&stop{"fault", "the interpreter did not begin"})
	}
	e.call("qjs_set_max_stack_size", engineStack)
	global := e.call("qjs_get_global")
	name, n := e.text(script.HostCall)
	host := e.call("qjs_new_host_function", name, n, 0)
	e.call("qjs_set_prop_string", global, name, host)
	e.call("wasm_free", name)
	e.evaluate("tocsin", script.Prelude())
	e.evaluate(s.program.File, s.program.Code)
	e.jobs()
	e.call("qjs_free_value", host)
	e.call("qjs_free_value", global)
	e.call("qjs_run_gc")
	return e.err
}

// entry calls what the prelude has under that name.
func (s *scripted) entry(name string) invoke {
	return invoke{name, func(ctx context.Context, m api.Module) (uint32, error) {
		e := s.engine(ctx, m)
		global := e.call("qjs_get_global")
		entries := e.property(global, script.Entries)
		f := e.property(entries, name)
		e.settled(e.call("qjs_call", f, entries, 0, 0))
		e.jobs()
		if e.err == nil && len(e.run.output) == 0 {
			e.fail(&stop{"script", "the script awaits what never comes: all that it can wait for are answers of the host"})
		}
		return 0, e.err
	}}
}

// engine calls the exports of the interpreter. After an error it does nothing.
// Values are addresses of boxes, which the caller frees or which end with the
// run.
type engine struct {
	ctx     context.Context //nolint:containedctx // it is one run
	m       api.Module
	run     *run
	program *script.Program
	err     error
}

func (s *scripted) engine(ctx context.Context, m api.Module) *engine {
	e := &engine{ctx: ctx, m: m, run: runOf(ctx), program: s.program}
	e.run.engine = e
	return e
}

func (e *engine) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

// call is the first result of an export.
func (e *engine) call(name string, args ...uint64) uint64 {
	if e.err != nil {
		return 0
	}
	f := e.m.ExportedFunction(name)
	if f == nil {
		e.fail(fmt.Errorf("the interpreter does not export %s", name))
		return 0
	}
	var stack [8]uint64
	copy(stack[:], args)
	if err := f.CallWithStack(e.ctx, stack[:]); err != nil {
		e.fail(err)
		return 0
	}
	return stack[0] & math.MaxUint32 // every result is an i32
}

var errMemory = &stop{"script", "InternalError: out of memory"}

// allocate is room for n bytes.
func (e *engine) allocate(n int) uint64 {
	ptr := e.call("wasm_malloc", uint64(n)) //nolint:gosec // not negative
	if ptr == 0 {
		e.fail(errMemory)
	}
	return ptr
}

// bytes is a range of the memory of the interpreter.
func (e *engine) bytes(ptr uint64, n uint32) []byte {
	return view(e.m, "the interpreter", uint32(ptr&math.MaxUint32), n)
}

// text copies s into the memory of the interpreter, with a zero after it.
func (e *engine) text(s string) (ptr, n uint64) {
	if ptr = e.allocate(len(s) + 1); e.err != nil {
		return 0, 0
	}
	into := e.bytes(ptr, uint32(len(s))+1) //nolint:gosec // a script or an answer
	copy(into, s)
	into[len(s)] = 0
	return ptr, uint64(len(s))
}

// value makes a string.
func (e *engine) value(s string) uint64 {
	ptr, n := e.text(s)
	v := e.call("qjs_new_string", ptr, n)
	e.call("wasm_free", ptr)
	return v
}

// read is the text of a value that is a string, and of any other nothing: to
// become text it could run the script.
func (e *engine) read(value uint64) string {
	if e.call("qjs_is_string", value) == 0 {
		return ""
	}
	length := e.allocate(4)
	ptr := e.call("qjs_get_string_len", value, length)
	if ptr == 0 {
		e.fail(errMemory)
	}
	if e.err != nil {
		return ""
	}
	s := string(e.bytes(ptr, binary.LittleEndian.Uint32(e.bytes(length, 4))))
	e.call("qjs_free_cstring", ptr)
	e.call("wasm_free", length)
	return s
}

// property is a property of an object.
func (e *engine) property(object uint64, name string) uint64 {
	ptr, _ := e.text(name)
	v := e.call("qjs_get_prop_string", object, ptr)
	e.call("wasm_free", ptr)
	return v
}

func (e *engine) evaluate(file, code string) {
	ptr, n := e.text(code)
	name, _ := e.text(file)
	result := e.call("qjs_eval", ptr, n, name, 0)
	e.call("wasm_free", ptr)
	e.call("wasm_free", name)
	e.settled(result)
}

// settled frees a value, or fails when it stands for something thrown.
func (e *engine) settled(value uint64) {
	if e.call("qjs_is_exception", value) != 0 {
		e.caught()
	}
	e.call("qjs_free_value", value)
}

// jobs carries out what waits for promises.
func (e *engine) jobs() {
	for e.call("qjs_is_job_pending") != 0 {
		if int32(e.call("qjs_execute_pending_job")&math.MaxUint32) < 0 { //nolint:gosec // the bits of an i32
			e.caught()
		}
	}
}

// caught fails with what was thrown.
func (e *engine) caught() {
	x := e.call("qjs_get_exception")
	t := thrown{Name: e.read(e.property(x, "name")), Message: e.read(e.property(x, "message")), Stack: e.read(e.property(x, "stack"))}
	if t.Name+t.Message == "" {
		t.Message = cmp.Or(e.read(x), "it threw what is no Error")
	}
	e.fail(e.thrown(t))
}

// thrown is an error of a script.
type thrown struct {
	Name    string         `json:"name"`
	Message string         `json:"message"`
	Stack   string         `json:"stack"`
	places  []script.Place // in the source, innermost first
}

// String is what was thrown, without the place.
func (t *thrown) String() string {
	text := clean(t.Message, maxSummary, false)
	if name := clean(t.Name, 80, false); name != "" && name != "Error" && name != "HostError" {
		text = name + ": " + text
	}
	return text
}

// thrown notes what a script threw, and is the reason of its end.
func (e *engine) thrown(t thrown) *stop {
	t.places = e.program.Trace(t.Stack)
	e.run.thrown = &t
	var text strings.Builder
	text.WriteString(t.String())
	for i, at := range t.places {
		switch {
		case i == 0 && at.Function != "":
			fmt.Fprintf(&text, " (line %d, column %d, in %s", at.Line, at.Column, clean(at.Function, 80, false))
		case i == 0:
			fmt.Fprintf(&text, " (line %d, column %d", at.Line, at.Column)
		case i < 4:
			fmt.Fprintf(&text, ", called at line %d", at.Line)
		}
	}
	if len(t.places) > 0 {
		text.WriteString(")")
	}
	return &stop{"script", text.String()}
}

// hostCall is the one function that scripts reach the host with: a name, a text
// and the text that is the answer.
func hostCall(ctx context.Context, r *run, m api.Module, stack []uint64) {
	if r.engine == nil || arg(stack, 3) < 2 {
		halt("fault", "the interpreter called the host in its own name")
	}
	e := *r.engine
	e.ctx, e.err = ctx, nil
	args := view(m, "host_call", arg(stack, 4), 8)
	name, text := binary.LittleEndian.Uint32(args), binary.LittleEndian.Uint32(args[4:])
	answer := e.answer(e.read(uint64(name)), e.read(uint64(text)))
	stack[0] = e.value(answer)
	if e.err != nil {
		panic(e.err)
	}
}

// answer is the answer of the host to a call of the prelude.
func (e *engine) answer(name, text string) string {
	if e.err != nil {
		return ""
	}
	r := e.run
	if i := slices.IndexFunc(inquiries(), func(q inquiry) bool { return q.name == name }); i >= 0 {
		if waits(name) {
			r.host.turns.leave(r)
		}
		return string(inquiries()[i].ask(e.ctx, r, []byte(text)))
	}
	r.enter(e.ctx, uint32(len(text))) //nolint:gosec // a part of the memory
	switch name {
	case "input":
		text, r.input = string(r.input), nil
		r.extra += int64(len(text)) / bytesPerFuel
		return text
	case "output":
		r.write([]byte(text))
	case "log":
		var line struct {
			Level string `json:"level"`
			Text  string `json:"text"`
		}
		if json.Unmarshal([]byte(text), &line) == nil {
			for l := range strings.Lines(line.Text) {
				r.say(line.Level, strings.TrimSuffix(l, "\n"))
			}
		}
	case "sleep":
		ms, err := strconv.ParseInt(text, 10, 64)
		if err != nil || ms < 0 {
			halt("fault", "the interpreter cannot sleep for %s", clean(text, 40, false))
		}
		r.sleep(e.ctx, time.Duration(min(ms, (24*time.Hour).Milliseconds()))*time.Millisecond)
	case "threw":
		var t thrown
		if err := json.Unmarshal([]byte(text), &t); err != nil {
			halt("fault", "the interpreter threw what cannot be read: %v", err)
		}
		e.fail(e.thrown(t))
	default:
		halt("fault", "the interpreter calls %s, which is not there", clean(name, 40, false))
	}
	return ""
}

// scriptFile is the name by which traces call the source of a script.
const scriptFile = "script.ts"

// compileScript makes the file of a script ready for the interpreter. The error
// is [core.Problems].
func compileScript(file []byte) (form json.RawMessage, s *scripted, err error) {
	form, source := script.Split(file)
	p, err := script.Compile(scriptFile, source)
	if err != nil {
		var problems core.Problems
		all, _ := errors.AsType[script.Diagnostics](err)
		for _, d := range all {
			problems = append(problems, core.Problem{Path: "source", Line: d.Line, Column: d.Character(), Code: "syntax", Message: d.Text, Snippet: d.Snippet()})
		}
		return nil, nil, problems
	}
	return form, &scripted{p}, nil
}

// inspectScript is [Host.Inspect] of a script. It evaluates the script in the
// sandbox with nothing granted. The error is [core.Problems] where it is about
// the script.
func (h *Host) inspectScript(ctx context.Context, file []byte) (core.Manifest, error) {
	form, guest, err := compileScript(file)
	if err != nil {
		return core.Manifest{}, err
	}
	p, release, err := h.interpreter(ctx)
	if err != nil {
		return core.Manifest{}, err
	}
	defer release()
	ctx, cancel := context.WithTimeout(ctx, describeTime)
	defer cancel()
	r := h.describing()
	if err := h.call(ctx, &plan{program: p, guest: guest, memory: r.limits.Memory}, r, guest.entry(abi.Describe)); err != nil {
		problem := core.Problem{Path: "source", Code: "script", Message: err.Error()}
		if r.thrown != nil {
			problem.Message = r.thrown.String()
			if len(r.thrown.places) > 0 {
				problem.Line, problem.Column = r.thrown.places[0].Line, r.thrown.places[0].Column
			}
		}
		return core.Manifest{}, core.Problems{problem}
	}
	document, err := scriptManifest(form, r.output)
	if err != nil {
		return core.Manifest{}, err
	}
	m, err := readManifest(document)
	if err != nil {
		return core.Manifest{}, core.Problems{{Path: about(m), Code: "manifest", Message: err.Error()}}
	}
	return m, nil
}

// about is the field of a manifest that is wrong.
func about(m core.Manifest) string {
	switch {
	case core.CheckName(m.Name) != nil:
		return "name"
	case m.Wants.Check() != nil:
		return "wants"
	}
	return "manifest"
}

// scriptManifest joins what a script says of itself: what its source exports
// counts, form says the rest.
//
//nolint:gocognit // one rule about a manifest after another
func scriptManifest(form json.RawMessage, described []byte) ([]byte, error) {
	wrong := func(path, message, fix string) error {
		return core.Problems{{Path: path, Code: "manifest", Message: message, Fix: fix}}
	}
	var said struct {
		Manifest json.RawMessage `json:"manifest"`
		Collects string          `json:"collects"`
		Exports  []string        `json:"exports"`
	}
	if err := json.Unmarshal(described, &said); err != nil {
		return nil, fmt.Errorf("read what the script exports: %w", err)
	}
	if said.Collects != "function" {
		const fix = "write: export default async ({ config, http }) => { ... }"
		if said.Collects == "undefined" {
			return nil, wrong("source", "the script exports no default function", fix)
		}
		return nil, wrong("source", "the default export of the script is no function but "+said.Collects, fix)
	}
	fields := map[string]json.RawMessage{}
	if len(form) > 0 {
		if err := json.Unmarshal(form, &fields); err != nil {
			return nil, wrong("manifest", "it is not a JSON object: "+clean(err.Error(), 200, false), "")
		}
	}
	var own map[string]json.RawMessage
	if err := json.Unmarshal(said.Manifest, &own); err != nil {
		return nil, wrong("manifest", "the script exports a manifest that is not an object", "write: export const manifest = { name: ..., version: ... }")
	}
	for _, name := range []string{"name", "version"} {
		if a, b := fields[name], own[name]; a != nil && b != nil && !bytes.Equal(a, b) {
			return nil, wrong(name, fmt.Sprintf("the manifest in the source says %s, and the form says %s", clean(string(b), 80, false), clean(string(a), 80, false)), "change one of them")
		}
	}
	maps.Copy(fields, own)
	if fields["abi"] == nil {
		fields["abi"] = json.RawMessage(`"` + abi.Version + `"`)
	}
	if fields["offers"] == nil {
		fields["offers"] = json.RawMessage(`["` + abi.OffersCollector + `"]`)
	}
	for _, name := range []string{"name", "version"} {
		if v := string(fields[name]); v == "" || v == `""` {
			return nil, wrong(name, "the script has no "+name, `write it into the source: export const manifest = { name: "queue", version: "1.0.0" }`)
		}
	}
	document, err := json.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write the manifest of the script: %w", err)
	}
	var m abi.Manifest
	strict := json.NewDecoder(bytes.NewReader(document))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&m); err != nil {
		return nil, wrong("manifest", clean(strings.TrimPrefix(err.Error(), "json: "), 200, false),
			"the fields are name, version, doc, author, config_schema, samples ([{ name, type, unit, doc }]) and wants ({ http, tcp, dns, private, kv, secrets, reveal, limits })")
	}
	if !slices.Equal(m.Offers, []string{abi.OffersCollector}) {
		return nil, wrong("offers", "a script offers a collector and nothing else", "leave offers out")
	}
	return document, nil
}
