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
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
)

// schemaName is what compilation calls the document.
const schemaName = "mem:config"

// maxSchemas bounds how many compiled schemas are kept.
const maxSchemas = 256

// schema is a compiled JSON schema and its text as JSON, to name what it
// allows.
type schema struct {
	compiled *jsonschema.Schema
	raw      any
}

// schema compiles the schema of a collector, once. It may refer to its own
// parts and to nothing else. No schema allows anything.
func (p *Planner) schema(text json.RawMessage) (*schema, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, ok := p.schemas[string(text)]; ok {
		return s, nil
	}
	s, err := compileSchema(text)
	if err != nil {
		return nil, err
	}
	if len(p.schemas) >= maxSchemas {
		clear(p.schemas)
	}
	p.schemas[string(text)] = s
	return s, nil
}

// noLoader refuses references out of a schema: it may come from a module, and
// must not make us read files or ask servers.
type noLoader struct{}

// Load refuses.
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema must not refer to %s", url)
}

func compileSchema(text json.RawMessage) (s *schema, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("its schema cannot be used: %v", r)
		}
	}()
	if len(bytes.TrimSpace(text)) == 0 {
		return &schema{}, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("its schema is not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	c.AssertFormat()
	if err := c.AddResource(schemaName, doc); err != nil {
		return nil, fmt.Errorf("its schema cannot be used: %w", err)
	}
	compiled, err := c.Compile(schemaName)
	if err != nil {
		return nil, schemaError(err)
	}
	return &schema{compiled: compiled, raw: doc}, nil
}

// check reports where a configuration does not fit. What value fills in later
// is not held to anything but being there; a reference to a secret stands for
// text. Paths begin with path.
func (s *schema) check(config map[string]any, value *lang.Value, path string) core.Problems {
	if s.compiled == nil {
		return nil
	}
	return s.problems(config, value != nil && !value.Constant(), path)
}

// problems is check; holes tells whether texts may have any.
func (s *schema) problems(config map[string]any, holes bool, path string) core.Problems {
	open := map[string]bool{} // places whose value is not known yet
	masked := hide(s.fill(config), "", holes, open)
	text, err := json.Marshal(masked)
	if err != nil {
		return core.Problems{{Path: path, Code: "config", Message: "the configuration cannot be written as JSON: " + err.Error()}}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return core.Problems{{Path: path, Code: "config", Message: err.Error()}}
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](s.compiled.Validate(doc))
	if !ok {
		return nil
	}
	var out core.Problems
	s.flatten(invalid, path, open, &out)
	return dedupe(out)
}

// hide puts text in the place of references to secrets, and notes the places
// of values that are not known yet: of secrets and of texts with holes.
func hide(v any, at string, holes bool, open map[string]bool) any {
	if _, ok := lang.SecretRef(v); ok {
		open[at] = true
		return "secret"
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, value := range x {
			out[key] = hide(value, at+"."+key, holes, open)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, value := range x {
			out[i] = hide(value, fmt.Sprintf("%s[%d]", at, i), holes, open)
		}
		return out
	case string:
		if holes && strings.Contains(x, "${") {
			open[at] = true
		}
	}
	return v
}

// flatten makes problems of the innermost causes.
func (s *schema) flatten(e *jsonschema.ValidationError, path string, open map[string]bool, out *core.Problems) {
	at, here := "", s.raw
	for _, part := range e.InstanceLocation {
		if _, err := strconv.Atoi(part); err == nil {
			at += "[" + part + "]"
		} else {
			at += "." + part
		}
		here = descend(here, part)
	}
	if open[at] {
		return
	}
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not:
		if s.anyOpen(at, open) {
			return
		}
		*out = append(*out, core.Problem{Path: path + at, Code: "config", Message: "it has none of the forms that are allowed"})
		return
	}
	if len(e.Causes) > 0 {
		for _, cause := range e.Causes {
			s.flatten(cause, path, open, out)
		}
		return
	}
	*out = append(*out, explainKind(e.ErrorKind, path+at, here)...)
}

func (*schema) anyOpen(at string, open map[string]bool) bool {
	for place := range open {
		if strings.HasPrefix(place, at) {
			return true
		}
	}
	return false
}

// descend follows the properties of a schema.
func descend(schema any, part string) any {
	m, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	if properties, ok := m["properties"].(map[string]any); ok {
		if sub, ok := properties[part]; ok {
			return sub
		}
	}
	if _, err := strconv.Atoi(part); err == nil {
		if items, ok := m["items"]; ok {
			return items
		}
	}
	return m["additionalProperties"]
}

// fields that a schema allows.
func fields(schema any) []string {
	m, ok := schema.(map[string]any)
	if !ok {
		return nil
	}
	properties, ok := m["properties"].(map[string]any)
	if !ok {
		return nil
	}
	return slices.Sorted(maps.Keys(properties))
}

// explainKind says what is wrong.
func explainKind(k jsonschema.ErrorKind, path string, here any) core.Problems {
	one := func(message, fix string) core.Problems {
		return core.Problems{{Path: path, Code: "config", Message: message, Fix: fix}}
	}
	switch x := k.(type) {
	case *kind.AdditionalProperties:
		var out core.Problems
		allowed := fields(here)
		for _, name := range slices.Sorted(slices.Values(x.Properties)) {
			fix := meant(name, allowed)
			if fix == "" && len(allowed) > 0 {
				fix = "there are " + strings.Join(allowed, ", ")
			}
			out = append(out, core.Problem{Path: path + "." + name, Code: "field", Message: fmt.Sprintf("unknown field %q", name), Fix: fix})
		}
		return out
	case *kind.Required:
		var out core.Problems
		for _, name := range x.Missing {
			out = append(out, core.Problem{Path: path + "." + name, Code: "missing", Message: name + " is missing", Fix: "write " + name + ": and its value"})
		}
		return out
	case *kind.Type:
		return one(fmt.Sprintf("it is %s, not %s", typeWord(x.Got), typeWords(x.Want)), "")
	case *kind.Enum:
		words := make([]string, len(x.Want))
		for i, w := range x.Want {
			words[i] = fmt.Sprint(w)
		}
		return one(fmt.Sprintf("%q is not allowed; write one of %s", clip(fmt.Sprint(x.Got)), strings.Join(words, ", ")), meant(fmt.Sprint(x.Got), words))
	case *kind.Const:
		return one(fmt.Sprintf("it must be %v", x.Want), "")
	case *kind.Pattern:
		return one(fmt.Sprintf("%q does not have the form %s", clip(x.Got), x.Want), "")
	case *kind.Format:
		return one(fmt.Sprintf("%q is not a valid %s", clip(fmt.Sprint(x.Got)), x.Want), "")
	}
	return one(explainBound(k), "")
}

func explainBound(k jsonschema.ErrorKind) string {
	switch x := k.(type) {
	case *kind.Minimum:
		return fmt.Sprintf("%s is less than %s", x.Got.RatString(), x.Want.RatString())
	case *kind.Maximum:
		return fmt.Sprintf("%s is more than %s", x.Got.RatString(), x.Want.RatString())
	case *kind.ExclusiveMinimum:
		return fmt.Sprintf("%s is not more than %s", x.Got.RatString(), x.Want.RatString())
	case *kind.ExclusiveMaximum:
		return fmt.Sprintf("%s is not less than %s", x.Got.RatString(), x.Want.RatString())
	case *kind.MinLength:
		if x.Got == 0 {
			return "it is empty"
		}
		return fmt.Sprintf("it has %d characters, fewer than %d", x.Got, x.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("it has %d characters, more than %d", x.Got, x.Want)
	case *kind.MinItems:
		return fmt.Sprintf("it has %d elements, fewer than %d", x.Got, x.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("it has %d elements, more than %d", x.Got, x.Want)
	}
	return "it does not fit " + strings.Join(k.KeywordPath(), " ")
}

func typeWords(types []string) string {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = typeWord(t)
	}
	return strings.Join(words, " or ")
}

func typeWord(t string) string {
	switch t {
	case "string":
		return "text"
	case "number":
		return "a number"
	case "integer":
		return "a whole number"
	case "boolean":
		return "true or false"
	case "array":
		return "a list"
	case "object":
		return "a mapping"
	}
	return t
}
