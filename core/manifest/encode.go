package manifest

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

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
		meta := yaml.MapSlice{{Key: "name", Value: v.FieldByName("ID").String()}}
		if title := v.FieldByName("Name").String(); title != "" {
			meta = append(meta, yaml.MapItem{Key: "title", Value: title})
		}
		if labels := v.FieldByName("Labels"); labels.IsValid() && labels.Len() > 0 {
			meta = append(meta, yaml.MapItem{Key: "labels", Value: plain(labels)})
		}
		doc := yaml.MapSlice{{Key: "apiVersion", Value: APIVersion}, {Key: "kind", Value: kind}, {Key: "metadata", Value: meta}}
		if spec := fields(v, identity()); len(spec) > 0 {
			doc = append(doc, yaml.MapItem{Key: "spec", Value: spec})
		}
		text, err := yaml.MarshalWithOptions(doc, yaml.UseLiteralStyleIfMultiline(true), yaml.IndentSequence(true))
		if err != nil {
			return nil, fmt.Errorf("write %s %s: %w", kind, v.FieldByName("ID"), err)
		}
		if i > 0 {
			out = append(out, "---\n"...)
		}
		out = append(out, text...)
	}
	return out, nil
}

// fields are the fields of a struct that are not zero, in their order.
func fields(v reflect.Value, not []string) yaml.MapSlice {
	var out yaml.MapSlice
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if name == "" || name == "-" || slices.Contains(not, name) || v.Field(i).IsZero() {
			continue
		}
		out = append(out, yaml.MapItem{Key: name, Value: plain(v.Field(i))})
	}
	return out
}

// plain is v as the values that the YAML library writes in the right order.
func plain(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case core.Step:
		var with any = yaml.MapSlice{}
		if len(x.With) > 0 {
			with = plain(v.FieldByName("With"))
		}
		out := fields(v, []string{"action", "with", "timeout", "retry", "continue_on_error"})
		out = append(out, yaml.MapItem{Key: x.Action, Value: with})
		return append(out, fields(v, []string{"id", "if", "action", "with"})...)
	case core.Trigger:
		if x == (core.Trigger{Event: x.Event}) {
			return x.Event
		}
	case core.Selector:
		if x.Match == "" {
			return x.Names
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
		out := yaml.MapSlice{}
		for _, key := range slices.Sorted(maps.Keys(stringKeys(v))) {
			out = append(out, yaml.MapItem{Key: key, Value: plain(stringKeys(v)[key])})
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
	default:
		return v.Interface()
	}
}

func stringKeys(v reflect.Value) map[string]reflect.Value {
	out := make(map[string]reflect.Value, v.Len())
	for iter := v.MapRange(); iter.Next(); {
		out[iter.Key().String()] = iter.Value()
	}
	return out
}
