package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// Schema is the JSON schema of a configuration, compiled. It is immutable and
// safe for concurrent use.
type Schema struct{ s *schema }

// NewSchema compiles a schema. None allows anything.
func NewSchema(text json.RawMessage) (*Schema, error) {
	s, err := compileSchema(text)
	if err != nil {
		return nil, err
	}
	return &Schema{s}, nil
}

// Check reports where a configuration does not fit, with paths relative to it.
// A text with ${holes} stands for any value, a reference to a secret for text.
func (s *Schema) Check(with map[string]any) core.Problems {
	if s.s.compiled == nil {
		return nil
	}
	out := s.s.problems(with, true, "")
	for i := range out {
		out[i].Path = strings.TrimPrefix(out[i].Path, ".")
	}
	return out
}

// Fill is with, with the defaults of the schema where it says nothing.
func (s *Schema) Fill(with map[string]any) map[string]any { return s.s.fill(with) }

// CheckManifest reports what is wrong with what a module says of itself that
// package wasm cannot know: schemas that do not compile or do not hold their
// own defaults, and functions whose name expressions have already.
func CheckManifest(m core.Manifest) core.Problems {
	problems := schemaProblems("config_schema", m.Schema)
	if m.Action != nil {
		problems = append(problems, schemaProblems("action.config_schema", m.Action.Schema)...)
	}
	for i, f := range m.Functions {
		if lang.Builtin(f.Name) {
			problems = append(problems, core.Problem{
				Path: fmt.Sprintf("functions[%d].name", i), Code: "function", Message: f.Name + "() is a function of expressions already", Fix: "give it another name",
			})
		}
	}
	return problems
}

func schemaProblems(path string, text json.RawMessage) core.Problems {
	s, err := compileSchema(text)
	if err != nil {
		bad, ok := errors.AsType[*schemaProblemError](err)
		if !ok {
			return core.Problems{{Path: path, Code: "schema", Message: err.Error()}}
		}
		return core.Problems{{Path: path + bad.at, Code: "schema", Message: bad.says}}
	}
	if s.compiled == nil {
		return nil
	}
	return s.defaults(s.raw, path)
}

// schemaProblemError is why a schema does not compile.
type schemaProblemError struct {
	at   string // within it: ".properties.depth.type"
	says string
}

// Error is the sentence with the place.
func (e *schemaProblemError) Error() string {
	if e.at == "" {
		return "its schema cannot be used: " + e.says
	}
	return "its schema cannot be used: " + strings.TrimPrefix(e.at, ".") + ": " + e.says
}

// schemaError finds the place in the schema that its compilation stumbled over.
func schemaError(err error) error {
	if meta, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = meta.Err
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		for len(invalid.Causes) > 0 {
			invalid = deepest(invalid.Causes)
		}
		var problems core.Problems
		(&schema{}).flatten(invalid, "", nil, &problems)
		if len(problems) > 0 {
			return &schemaProblemError{at: problems[0].Path, says: problems[0].Message}
		}
	}
	if bad, ok := errors.AsType[*jsonschema.InvalidRegexError](err); ok {
		return &schemaProblemError{at: pointer(bad.URL), says: fmt.Sprintf("%q is not a regular expression", clip(bad.Regex))}
	}
	if bad, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return &schemaProblemError{says: fmt.Sprintf("a schema must not refer to %s", clip(bad.URL))}
	}
	text := strings.ReplaceAll(firstLine(err.Error()), schemaName, "")
	return &schemaProblemError{says: text}
}

// deepest is the cause that says most about a place: that of a type, which is
// one of several forms, has causes of its own.
func deepest(causes []*jsonschema.ValidationError) *jsonschema.ValidationError {
	return slices.MaxFunc(causes, func(a, b *jsonschema.ValidationError) int { return len(a.InstanceLocation) - len(b.InstanceLocation) })
}

// pointer makes a path of the fragment of an address.
func pointer(url string) string {
	_, fragment, _ := strings.Cut(url, "#")
	var out strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(fragment, "/"), "/") {
		if part != "" {
			out.WriteString("." + strings.NewReplacer("~1", "/", "~0", "~").Replace(part))
		}
	}
	return out.String()
}

// defaults reports defaults that their own schema refuses.
func (s *schema) defaults(at any, path string) core.Problems {
	m, ok := at.(map[string]any)
	if !ok {
		return nil
	}
	var out core.Problems
	if value, ok := m["default"]; ok {
		if text, err := json.Marshal(m); err == nil && !refers(m) {
			if own, err := compileSchema(text); err == nil && own.compiled != nil {
				if invalid, ok := errors.AsType[*jsonschema.ValidationError](own.compiled.Validate(value)); ok {
					var why core.Problems
					own.flatten(invalid, "", nil, &why)
					says := "it does not fit"
					if len(why) > 0 {
						says = why[0].Message
					}
					out = append(out, core.Problem{Path: path + ".default", Code: "schema", Message: "the default is refused by its own schema: " + says})
				}
			}
		}
	}
	properties, _ := m["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		out = append(out, s.defaults(properties[name], path+".properties."+name)...)
	}
	return out
}

// refers reports whether a schema refers to another place: by itself it does
// not compile.
func refers(v any) bool {
	switch x := v.(type) {
	case map[string]any:
		if _, ok := x["$ref"].(string); ok {
			return true
		}
		for _, inner := range x {
			if refers(inner) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(x, refers)
	}
	return false
}

// fill is a configuration with the defaults of properties that it does not
// name. Both stay as they are.
func (s *schema) fill(config map[string]any) map[string]any {
	if s == nil || s.raw == nil {
		return config
	}
	out, _ := filled(s.raw, config).(map[string]any)
	return out
}

func filled(schema, v any) any {
	m, ok := schema.(map[string]any)
	config, isObject := v.(map[string]any)
	if !ok || !isObject {
		return v
	}
	if _, secret := lang.SecretRef(v); secret {
		return v
	}
	properties, _ := m["properties"].(map[string]any)
	if len(properties) == 0 {
		return v
	}
	out := maps.Clone(config)
	if out == nil {
		out = map[string]any{}
	}
	for name, property := range properties {
		given, ok := out[name]
		if !ok {
			p, _ := property.(map[string]any)
			if given, ok = p["default"]; !ok {
				continue
			}
			given = decoded(given)
		}
		out[name] = filled(property, given)
	}
	return out
}

// decoded is a value of a schema as a configuration would hold it: numbers are
// float64 or int.
func decoded(v any) any {
	switch x := v.(type) {
	case json.Number:
		if n, err := strconv.Atoi(x.String()); err == nil {
			return n
		}
		f, err := x.Float64()
		if err != nil {
			return x.String()
		}
		return f
	case map[string]any, []any:
		text, err := json.Marshal(x)
		if err != nil {
			return nil // it came out of JSON
		}
		var out any
		if json.NewDecoder(bytes.NewReader(text)).Decode(&out) != nil {
			return nil
		}
		return out
	}
	return v
}
