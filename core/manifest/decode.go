package manifest

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// decoder fills core values from nodes and collects what is wrong.
type decoder struct {
	file     string
	places   map[string]place
	problems core.Problems
}

func (d *decoder) wrong(at *node, path, code, message, fix string) {
	d.problems = append(d.problems, core.Problem{File: d.file, Line: at.line, Column: at.column, Path: path, Code: code, Message: message, Fix: fix})
}

// value fills v, which is settable, from n.
func (d *decoder) value(n *node, path string, v reflect.Value) {
	if n == nil {
		return
	}
	d.places[path] = place{n.line, n.column}
	if v.Kind() == reflect.Pointer {
		if n.kind == nullKind {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		d.value(n, path, v.Elem())
		return
	}
	switch v.Addr().Interface().(type) {
	case *core.Step:
		d.step(n, path, v)
		return
	case *core.Trigger:
		d.trigger(n, path, v)
		return
	case *core.Selector:
		d.selector(n, path, v)
		return
	case encoding.TextUnmarshaler:
		d.scalar(n, path, v)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(n, path, v, nil)
	case reflect.Map:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Interface:
		if x := d.anything(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	default:
		d.scalar(n, path, v)
	}
}

// structure fills the fields of a struct; not names fields that cannot be
// written here.
func (d *decoder) structure(n *node, path string, v reflect.Value, not []string) {
	if n.kind != mapKind {
		d.wrong(n, path, "type", "must be a mapping, not "+n.describe(), "")
		return
	}
	var known []string
	fields := map[string]int{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" && !slices.Contains(not, name) {
			fields[name] = i
			known = append(known, name)
		}
	}
	for i, key := range n.keys {
		field, ok := fields[key.text]
		if !ok {
			fix := meant(key.text, known)
			d.wrong(key, join(path, key.text), "field", fmt.Sprintf("unknown field %q; there are %s", key.text, strings.Join(known, ", ")), fix)
			continue
		}
		if n.values[i].kind == nullKind {
			continue
		}
		d.value(n.values[i], join(path, key.text), v.Field(field))
	}
}

func (d *decoder) mapping(n *node, path string, v reflect.Value) {
	if n.kind != mapKind {
		d.wrong(n, path, "type", "must be a mapping, not "+n.describe(), "")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.keys)))
	for i, key := range n.keys {
		item := reflect.New(v.Type().Elem()).Elem()
		d.value(n.values[i], join(path, key.text), item)
		v.SetMapIndex(reflect.ValueOf(key.text), item)
	}
}

// list fills a slice; a single value stands for a list of one.
func (d *decoder) list(n *node, path string, v reflect.Value) {
	items := n.values
	if n.kind != listKind {
		if n.kind == mapKind && v.Type().Elem().Kind() != reflect.Struct {
			d.wrong(n, path, "type", "must be a list, not a mapping", "")
			return
		}
		items = []*node{n}
	}
	v.Set(reflect.MakeSlice(v.Type(), len(items), len(items)))
	for i, item := range items {
		d.value(item, path+"["+strconv.Itoa(i)+"]", v.Index(i))
	}
}

// scalar fills a string, bool or number, or whatever reads itself from text.
func (d *decoder) scalar(n *node, path string, v reflect.Value) {
	if n.kind == listKind || n.kind == mapKind || n.kind == nullKind {
		d.wrong(n, path, "type", "must be "+wanted(v)+", not "+n.describe(), "")
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok {
		err := u.UnmarshalText([]byte(n.text))
		switch _, instant := u.(*time.Time); {
		case err != nil && instant:
			d.wrong(n, path, "value", fmt.Sprintf("%q is not an instant", n.text), "write for example 2026-01-31T22:00:00Z")
		case err != nil:
			d.wrong(n, path, "value", err.Error(), d.unitFix(n, v))
		}
		return
	}
	switch x := n.value.(type) {
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return
		}
	case int64:
		if d.number(v, float64(x), x) {
			return
		}
	case uint64:
		if x <= math.MaxInt64 && d.number(v, float64(x), int64(x)) {
			return
		}
	case float64:
		if v.Kind() == reflect.Float64 {
			v.SetFloat(x)
			return
		}
	case nil:
		if v.Kind() == reflect.String {
			v.SetString(n.text)
			return
		}
	}
	fix := ""
	if v.Kind() == reflect.String {
		fix = fmt.Sprintf("put it in quotes: %q", n.text)
	}
	d.wrong(n, path, "type", "must be "+wanted(v)+", not "+n.describe(), fix)
}

func (*decoder) number(v reflect.Value, f float64, i int64) bool {
	switch v.Kind() {
	case reflect.Int, reflect.Int64, reflect.Int32:
		if v.OverflowInt(i) {
			return false
		}
		v.SetInt(i)
		return true
	case reflect.Float64:
		v.SetFloat(f)
		return true
	default:
		return false
	}
}

func (*decoder) unitFix(n *node, v reflect.Value) string {
	if _, ok := reflect.TypeAssert[core.Duration](v); ok && n.kind == intKind {
		return "write a unit, for example " + n.text + "s"
	}
	return ""
}

func wanted(v reflect.Value) string {
	if _, ok := reflect.TypeAssert[core.Duration](v); ok {
		return "a duration such as 30s"
	}
	switch v.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	default:
		return "a single value"
	}
}

// anything is n as plain Go values: nil, string, bool, int64, float64, []any
// and map[string]any.
func (d *decoder) anything(n *node, path string) any {
	d.places[path] = place{n.line, n.column}
	switch n.kind {
	case nullKind:
		return nil
	case textKind:
		return n.text
	case boolKind, floatKind:
		return n.value
	case intKind:
		if u, ok := n.value.(uint64); ok {
			if u > math.MaxInt64 {
				return float64(u)
			}
			return int64(u)
		}
		return n.value
	case listKind:
		list := make([]any, len(n.values))
		for i, item := range n.values {
			list[i] = d.anything(item, path+"["+strconv.Itoa(i)+"]")
		}
		return list
	case mapKind:
		m := make(map[string]any, len(n.keys))
		for i, key := range n.keys {
			m[key.text] = d.anything(n.values[i], join(path, key.text))
		}
		return m
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
