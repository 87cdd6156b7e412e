package lang

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/types"

	"github.com/tocsin-io/tocsin/core"
)

// Limits of an expression. They are published so that editors can name them.
const (
	MaxSource = 20_000 // bytes of an expression
	MaxNodes  = 2_000  // parts of an expression
	MaxDepth  = 200    // levels of nesting
)

// Scope is a typed environment: which names an expression may use, and what
// they are. It is immutable and safe for concurrent use.
type Scope struct {
	structure reflect.Type       // of a struct scope, else nil
	env       any                // what expr's checker is told
	vars      map[string]Var     // of a map scope, else nil
	infos     map[string]varInfo // by dotted path: what tags say
	keys      map[string][]string
	funcs     map[string]function
	extra     map[string]bool // of funcs: those that are not the language's own
	below     map[string]kind // by dotted path: what is known below maps of any values
}

// varInfo is what is known of a name beyond its type.
type varInfo struct {
	typ   reflect.Type
	doc   string
	unit  string
	enum  []string
	timed bool
}

// Var declares a name of a map scope. Its type is Type or, when that is empty,
// the type of Example: a bool, number, string, time, duration, slice, map or
// tagged struct.
type Var struct {
	Type    core.SampleType
	Example any
	Doc     string
	Unit    string
	Enum    []string // of a string: the values it can have
	Timed   bool     // changes by itself as time goes by
}

// StructScope makes a scope of a struct type, given any value of it. Each
// exported field carries `expr:"name"` (or "-" to hide it) and may carry
// `doc:"..."`, `unit:"..."`, `enum:"a,b"` and `timed:"true"`; fields named now
// and health_for are timed without it. Programs are then evaluated over values
// of that type or pointers to them.
//
// It is an error when a field has no tag or is of a type that the language
// does not know.
func StructScope(example any) (*Scope, error) {
	t := reflect.TypeOf(example)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("make scope: %T is not a struct", example)
	}
	s := &Scope{structure: t, env: reflect.Zero(t).Interface(), infos: map[string]varInfo{}, funcs: functions()}
	if err := s.describeStruct("", t); err != nil {
		return nil, fmt.Errorf("make scope of %s: %w", t, err)
	}
	return s, nil
}

// MapScope makes a scope of declared names. Programs are then evaluated over a
// map[string]any; a name that the map lacks, or holds as nil or with another
// type than declared, is an error at evaluation. A Var of a type that the
// language does not know is taken as of any type.
func MapScope(vars map[string]Var) *Scope {
	env := make(types.Map, len(vars))
	s := &Scope{vars: maps.Clone(vars), infos: map[string]varInfo{}, env: env, funcs: functions()}
	if s.vars == nil {
		s.vars = map[string]Var{}
	}
	for name, v := range s.vars {
		t := v.typ()
		if t == anyType || known(t) != nil {
			env[name] = types.Any
			t = anyType
		} else {
			env[name] = types.TypeOf(reflect.Zero(t).Interface())
		}
		s.infos[name] = varInfo{typ: t, doc: v.Doc, unit: v.Unit, enum: v.Enum, timed: v.Timed || timedName(name)}
		if t.Kind() == reflect.Struct && t != timeType {
			if s.describeStruct(name+".", t) != nil {
				env[name] = types.Any
			}
		}
	}
	return s
}

// With is s with more names, for a map scope; a name that s has already is
// replaced. Of a struct scope it returns s as it is.
func (s *Scope) With(vars map[string]Var) *Scope {
	if s.vars == nil {
		return s
	}
	all := maps.Clone(s.vars)
	maps.Copy(all, vars)
	out := MapScope(all)
	out.funcs, out.extra, out.below = s.funcs, s.extra, s.below
	return out
}

// WithKeys is s with the keys in use of a map, by its dotted path, for
// completion and help. It does not forbid other keys.
func (s *Scope) WithKeys(path string, keys []string) *Scope {
	c := *s
	c.keys = maps.Clone(s.keys)
	if c.keys == nil {
		c.keys = map[string][]string{}
	}
	c.keys[path] = slices.Sorted(slices.Values(keys))
	return &c
}

var errNoTag = errors.New(`has no expr:"name" tag`)

func (s *Scope) describeStruct(prefix string, t reflect.Type) error {
	for field := range t.Fields() {
		name := field.Tag.Get("expr")
		if name == "-" || !field.IsExported() {
			continue
		}
		if name == "" {
			return fmt.Errorf("field %s%s %w", prefix, field.Name, errNoTag)
		}
		if err := known(field.Type); err != nil {
			return fmt.Errorf("field %s%s: %w", prefix, name, err)
		}
		info := varInfo{typ: field.Type, doc: field.Tag.Get("doc"), unit: field.Tag.Get("unit")}
		if enum := field.Tag.Get("enum"); enum != "" {
			info.enum = strings.Split(enum, ",")
		}
		info.timed = field.Tag.Get("timed") == "true" || prefix == "" && timedName(name)
		s.infos[prefix+name] = info
		if inner := deref(field.Type); inner.Kind() == reflect.Struct && inner != timeType {
			if err := s.describeStruct(prefix+name+".", inner); err != nil {
				return err
			}
		}
	}
	return nil
}

func timedName(name string) bool { return name == "now" || name == "health_for" }

func (v Var) typ() reflect.Type {
	switch v.Type {
	case core.NumberSample:
		return reflect.TypeFor[float64]()
	case core.IntegerSample:
		return reflect.TypeFor[int64]()
	case core.StringSample:
		return stringType
	case core.BoolSample:
		return reflect.TypeFor[bool]()
	case core.DurationSample:
		return durationType
	case core.TimeSample:
		return timeType
	case core.MapSample:
		return reflect.TypeFor[map[string]string]()
	case core.AnySample, core.ListSample:
		return anyType
	}
	if v.Example == nil {
		return anyType
	}
	return deref(reflect.TypeOf(v.Example))
}

// known reports in an error why the language has no idea of a type.
func known(t reflect.Type) error {
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Interface, reflect.Struct:
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Float32, reflect.Float64:
		if t.PkgPath() != "" && t != durationType {
			return fmt.Errorf("%s is a number with a name; give its text or a plain number", t)
		}
		return nil
	case reflect.Slice, reflect.Array, reflect.Pointer:
		return known(t.Elem())
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return fmt.Errorf("%s: keys of a map must be text", t)
		}
		return known(t.Elem())
	case reflect.Invalid, reflect.Uint, reflect.Uint64, reflect.Uintptr, reflect.Complex64, reflect.Complex128,
		reflect.Chan, reflect.Func, reflect.UnsafePointer:
	}
	return fmt.Errorf("%s is not a type of the language", t)
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// config is what expr's parser and checker need. It is made anew for each
// compilation, because they keep notes in it.
func (s *Scope) config() *conf.Config {
	c := conf.CreateNew()
	c.WithEnv(s.env)
	c.MaxNodes = MaxNodes
	c.Optimize = false
	for name := range c.Builtins {
		if !loops(name) {
			c.Disabled[name] = true
			delete(c.Builtins, name)
		}
	}
	for name, f := range s.funcs {
		c.Functions[name] = f.declare(name)
	}
	return c
}

// names that start an expression: variables and functions.
func (s *Scope) names() []string {
	var out []string
	for path := range s.infos {
		if !strings.Contains(path, ".") {
			out = append(out, path)
		}
	}
	return out
}

// members of the struct at a dotted path.
func (s *Scope) members(path string) []string {
	var out []string
	for p := range s.infos {
		if rest, ok := strings.CutPrefix(p, path+"."); ok && !strings.Contains(rest, ".") {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
}

var (
	anyType      = reflect.TypeFor[any]()           //nolint:gochecknoglobals // a constant
	stringType   = reflect.TypeFor[string]()        //nolint:gochecknoglobals // a constant
	timeType     = reflect.TypeFor[time.Time]()     //nolint:gochecknoglobals // a constant
	durationType = reflect.TypeFor[time.Duration]() //nolint:gochecknoglobals // a constant
)

// Describe tells editors what s knows: variables with their documentation,
// functions, and the values of enums.
func (s *Scope) Describe() core.ExprEnv {
	env := core.ExprEnv{Version: "1", Vars: map[string]core.ExprVar{}, Funcs: describeFuncs(s.funcs), Enums: map[string][]string{}}
	for _, name := range s.names() {
		env.Vars[name] = s.describe(name, s.infos[name].typ)
	}
	for path, info := range s.infos {
		if len(info.enum) > 0 {
			env.Enums[path] = slices.Clone(info.enum)
		}
	}
	return env
}

func (s *Scope) describe(path string, t reflect.Type) core.ExprVar {
	t = deref(t)
	info := s.infos[path]
	v := core.ExprVar{Kind: typeKind(t).word(), Doc: info.doc, Unit: info.unit, Keys: s.keys[path]}
	switch typeKind(t) {
	case kStruct:
		v.Fields = map[string]core.ExprVar{}
		for _, name := range s.members(path) {
			v.Fields[name] = s.describe(path+"."+name, s.infos[path+"."+name].typ)
		}
	case kList, kMap:
		v.Elem = new(s.describe(path+"[]", t.Elem()))
	case kAny, kBool, kInt, kFloat, kString, kDuration, kTime, kNil:
	}
	return v
}
