package lang

import (
	"reflect"
	"time"
)

// kind is a type as the language knows it.
type kind uint8

const (
	kAny kind = iota // known only when it is evaluated
	kNil
	kBool
	kInt
	kFloat
	kString
	kDuration
	kTime
	kList
	kMap
	kStruct
)

// word is the name of a kind in core.ExprVar.
func (k kind) word() string {
	return [...]string{"any", "any", "bool", "int", "float", "string", "duration", "time", "array", "map", "struct"}[k]
}

// people is the name of a kind in messages.
func (k kind) people() string {
	return [...]string{
		"a value of any type", "null", "true or false", "a number", "a number", "text",
		"a duration", "a time", "a list", "a map", "an object",
	}[k]
}

func (k kind) number() bool { return k == kInt || k == kFloat }

// same reports whether values of two kinds can be equal.
func (k kind) same(other kind) bool { return k == other || k.number() && other.number() }

// typeKind is the kind of the values of a type.
func typeKind(t reflect.Type) kind {
	if t == nil {
		return kAny
	}
	switch t {
	case timeType:
		return kTime
	case durationType:
		return kDuration
	}
	switch t.Kind() {
	case reflect.Bool:
		return kBool
	case reflect.String:
		return kString
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return kInt
	case reflect.Float32, reflect.Float64:
		return kFloat
	case reflect.Slice, reflect.Array:
		return kList
	case reflect.Map:
		return kMap
	case reflect.Struct:
		return kStruct
	default:
		return kAny
	}
}

// valueKind is the kind of a plain value.
func valueKind(v any) kind {
	switch v.(type) {
	case nil:
		return kNil
	case bool:
		return kBool
	case int64:
		return kInt
	case float64:
		return kFloat
	case string:
		return kString
	case time.Duration:
		return kDuration
	case time.Time:
		return kTime
	case []any, []string:
		return kList
	case map[string]any, map[string]string:
		return kMap
	}
	return typeKind(reflect.TypeOf(v))
}

// plain brings a value of the environment into the few types that evaluation
// works with: nil, bool, int64, float64, string, time.Duration, time.Time,
// slices, maps and structs.
func plain(v any) any {
	switch x := v.(type) {
	case nil, bool, int64, float64, string, time.Duration, time.Time, []any, []string, map[string]any, map[string]string:
		return v
	case int:
		return int64(x)
	}
	return plainValue(reflect.ValueOf(v))
}

func plainValue(v reflect.Value) any {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		v = v.Elem()
	}
	switch typeKind(v.Type()) {
	case kBool:
		return v.Bool()
	case kString:
		return v.String()
	case kInt:
		if v.CanUint() {
			return int64(v.Uint()) //nolint:gosec // at most 32 bits, see known
		}
		return v.Int()
	case kFloat:
		return v.Float()
	case kAny, kNil, kDuration, kTime, kList, kMap, kStruct:
	}
	switch v.Kind() {
	case reflect.Uint, reflect.Uint64:
		return float64(v.Uint())
	case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Invalid:
		return nil
	default:
		return v.Interface()
	}
}
