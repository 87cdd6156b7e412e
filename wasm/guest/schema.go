package guest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// schema is the part of JSON schema that is made of Go types.
type schema struct {
	Type        string             `json:"type,omitempty"`
	Description string             `json:"description,omitempty"`
	Format      string             `json:"format,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false or a schema
}

// Schema makes a JSON schema of a struct. A field is named by its json tag and
// required unless that says omitempty or the field has a default. The tags
// doc, format, enum (by commas), default, minimum and maximum say more. Nil
// makes the schema of any object.
func Schema(config any) (json.RawMessage, error) {
	if config == nil {
		return json.RawMessage(`{"type":"object"}`), nil
	}
	t := reflect.TypeOf(config)
	if t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("the configuration must be a struct, not %s", t)
	}
	s, err := schemaOf(t)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s)
}

func schemaOf(t reflect.Type) (*schema, error) {
	switch t.Kind() {
	case reflect.String:
		return &schema{Type: "string"}, nil
	case reflect.Bool:
		return &schema{Type: "boolean"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return &schema{Type: "integer"}, nil
	case reflect.Float32, reflect.Float64:
		return &schema{Type: "number"}, nil
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Slice, reflect.Array:
		items, err := schemaOf(t.Elem())
		return &schema{Type: "array", Items: items}, err
	case reflect.Map:
		values, err := schemaOf(t.Elem())
		return &schema{Type: "object", Additional: values}, err
	case reflect.Interface:
		return &schema{}, nil
	case reflect.Struct:
		return schemaOfStruct(t)
	default:
		return nil, fmt.Errorf("a configuration cannot hold %s", t)
	}
}

func schemaOfStruct(t reflect.Type) (*schema, error) {
	out := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	for f := range t.Fields() {
		name, optional := nameOf(f)
		if name == "" {
			continue
		}
		s, err := schemaOf(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := s.describe(f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		out.Properties[name] = s
		if !optional && s.Default == nil {
			out.Required = append(out.Required, name)
		}
	}
	return out, nil
}

// nameOf is the name of a field in JSON, empty when it is not there.
func nameOf(f reflect.StructField) (name string, optional bool) {
	tag := f.Tag.Get("json")
	if !f.IsExported() || tag == "-" {
		return "", false
	}
	name, options, _ := strings.Cut(tag, ",")
	if name == "" {
		name = f.Name
	}
	return name, strings.Contains(options, "omit")
}

// describe adds what the tags of a field say.
func (s *schema) describe(f reflect.StructField) error {
	s.Description, s.Format = f.Tag.Get("doc"), f.Tag.Get("format")
	if list, ok := f.Tag.Lookup("enum"); ok {
		s.Enum = strings.Split(list, ",")
	}
	for tag, field := range map[string]**float64{"minimum": &s.Minimum, "maximum": &s.Maximum} {
		if text, ok := f.Tag.Lookup(tag); ok {
			n, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return fmt.Errorf("%s %q is not a number", tag, text)
			}
			*field = &n
		}
	}
	if text, ok := f.Tag.Lookup("default"); ok {
		v := reflect.New(f.Type)
		if err := parseDefault(v, text); err != nil {
			return err
		}
		s.Default = v.Elem().Interface()
	}
	return nil
}

// parseDefault sets what v points to: text as it is, everything else as JSON.
func parseDefault(v reflect.Value, text string) error {
	if v.Elem().Kind() == reflect.String {
		v.Elem().SetString(text)
		return nil
	}
	if err := json.Unmarshal([]byte(text), v.Interface()); err != nil {
		return fmt.Errorf("default %q: %w", text, err)
	}
	return nil
}

// setDefaults sets the fields of the struct that config points to.
func setDefaults(config any) error {
	v := reflect.ValueOf(config)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct {
		return nil
	}
	t := v.Elem().Type()
	for i := range t.NumField() {
		text, ok := t.Field(i).Tag.Lookup("default")
		if !ok {
			continue
		}
		if err := parseDefault(v.Elem().Field(i).Addr(), text); err != nil {
			return fmt.Errorf("%s: %w", t.Field(i).Name, err)
		}
	}
	return nil
}
