package manifest

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
)

// Encode writes objects (as in [Item]) as YAML documents that [Decode] reads
// back as they were.
func Encode(objects ...any) ([]byte, error) {
	var out []byte
	for i, object := range objects {
		v := reflect.Indirect(reflect.ValueOf(object))
		kind := v.Type().Name()
		if _, ok := kinds()[kind]; !ok {
			return nil, fmt.Errorf("write a manifest: %T is not an object", object)
		}
		meta := pairs{{"name", v.FieldByName("ID").String()}}
		if title := v.FieldByName("Name").String(); title != "" {
			meta = append(meta, pair{"title", title})
		}
		if labels := v.FieldByName("Labels"); labels.IsValid() && labels.Len() > 0 {
			meta = append(meta, pair{"labels", plain(labels)})
		}
		doc := pairs{{"apiVersion", APIVersion}, {"kind", kind}, {"metadata", meta}}
		if spec := fields(v, identity()); len(spec) > 0 {
			doc = append(doc, pair{"spec", spec})
		}
		if i > 0 {
			out = append(out, "---\n"...)
		}
		out = doc.write(out, 0)
	}
	return out, nil
}

// pairs is a mapping in the order in which it is written.
type pairs []pair

type pair struct {
	key   string
	value any // nil, string, bool, int64, uint64, float64, []any or pairs
}

// fields are the fields of a struct that are not zero, in their order.
func fields(v reflect.Value, not []string) pairs {
	var out pairs
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" || slices.Contains(not, name) || v.Field(i).IsZero() {
			continue
		}
		out = append(out, pair{name, plain(v.Field(i))})
	}
	return out
}

// plain is v as a value of a pair.
//
//nolint:gocognit // a case for each kind
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case core.Step:
		var with any = pairs{}
		if len(x.With) > 0 {
			with = plain(v.FieldByName("With"))
		}
		last := []string{"timeout", "retry", "continue_on_error"}
		out := fields(v, append(last, "action", "with"))
		if x.Action != "" {
			out = append(out, pair{x.Action, with})
		}
		for _, rest := range fields(v, nil) {
			if slices.Contains(last, rest.key) {
				out = append(out, rest)
			}
		}
		return out
	case core.Trigger:
		if x == (core.Trigger{Event: x.Event}) {
			return x.Event
		}
	case core.Selector:
		if x.Match == "" {
			return plain(v.FieldByName("Names"))
		}
	case []core.Trigger:
		if len(x) == 1 {
			return plain(v.Index(0))
		}
	case encoding.TextMarshaler:
		text, err := x.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		return plain(v.Elem())
	case reflect.Struct:
		return fields(v, nil)
	case reflect.Map:
		values := stringKeys(v)
		out := pairs{}
		for _, key := range slices.Sorted(maps.Keys(values)) {
			out = append(out, pair{key, plain(values[key])})
		}
		return out
	case reflect.Slice:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	case reflect.Float32, reflect.Float64:
		return v.Float()
	default:
		return fmt.Sprint(v.Interface())
	}
}

func stringKeys(v reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		out[iter.Key().String()] = iter.Value()
	}
	return out
}
