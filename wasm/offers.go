package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// Limits of what a manifest declares.
const (
	maxSamples   = 200
	maxFunctions = 50
	maxParams    = 10
	maxSchema    = 64 << 10 // bytes
)

var (
	sampleName   = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)
	functionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,63}$`)
)

// checkOffered reports what is wrong with what a manifest offers, whatever the
// file exports; see [checkOffers].
func checkOffered(m core.Manifest) error {
	all := []string{abi.OffersCollector, abi.OffersAction, abi.OffersFunction}
	if len(m.Offers) == 0 {
		return fmt.Errorf("its manifest offers nothing; offers must hold %s", strings.Join(all, ", "))
	}
	for i, offer := range m.Offers {
		switch {
		case !slices.Contains(all, offer):
			return fmt.Errorf("its manifest offers %q; there are %s", clean(offer, 40, false), strings.Join(all, ", "))
		case slices.Contains(m.Offers[:i], offer):
			return fmt.Errorf("its manifest offers %q twice", offer)
		}
	}
	offers := func(what string) bool { return slices.Contains(m.Offers, what) }
	switch {
	case !offers(abi.OffersCollector) && len(m.Schema) > 0:
		return errors.New("its config_schema is that of a collector, and it offers none: add collector to offers, or write the schema of an action as action.config_schema")
	case !offers(abi.OffersCollector) && len(m.Samples) > 0:
		return errors.New("its samples are those of a collector, and it offers none: add collector to offers, or write what an action answers as action.outputs")
	case !offers(abi.OffersAction) && m.Action != nil:
		return errors.New("its manifest describes an action and does not offer one: add action to offers")
	case !offers(abi.OffersFunction) && len(m.Functions) > 0:
		return errors.New("its manifest describes functions and does not offer them: add function to offers")
	case offers(abi.OffersFunction) && len(m.Functions) == 0:
		return errors.New("it offers functions and describes none: list them under functions")
	}
	if err := checkSchema("config_schema", m.Schema); err != nil {
		return err
	}
	if err := checkSamples("sample", m.Samples); err != nil {
		return err
	}
	if m.Action != nil {
		if err := checkSchema("action.config_schema", m.Action.Schema); err != nil {
			return err
		}
		if err := checkSamples("output", m.Action.Outputs); err != nil {
			return err
		}
	}
	return checkFunctions(m.Functions)
}

// checkSchema looks at the structure alone; package plan compiles schemas.
func checkSchema(path string, schema json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	if len(schema) > maxSchema {
		return fmt.Errorf("its %s has %d bytes, the limit is %s", path, len(schema), size(maxSchema))
	}
	var object map[string]any
	if err := json.Unmarshal(schema, &object); err != nil || object == nil {
		return fmt.Errorf("its %s is not a JSON object", path)
	}
	if t, ok := object["type"]; ok && t != "object" {
		return fmt.Errorf("its %s is of type %v; a configuration is an object", path, t)
	}
	return nil
}

// sampleTypes are the types that a sample or an output can have.
func sampleTypes() []core.SampleType {
	return []core.SampleType{
		core.NumberSample, core.IntegerSample, core.StringSample, core.BoolSample,
		core.DurationSample, core.TimeSample, core.MapSample, core.AnySample,
	}
}

// typeError names the types that there are.
func typeError(what, name string, t core.SampleType, types []core.SampleType) error {
	words := make([]string, len(types))
	for i, t := range types {
		words[i] = string(t)
	}
	return fmt.Errorf("it declares the %s %s of type %q; types are %s", what, name, clean(string(t), 40, false), strings.Join(words, ", "))
}

// checkSamples looks at samples, or at the outputs of an action.
func checkSamples(what string, samples []core.SampleDecl) error {
	if len(samples) > maxSamples {
		return fmt.Errorf("it declares %d %ss, the limit is %d", len(samples), what, maxSamples)
	}
	seen := map[string]bool{}
	for _, s := range samples {
		switch {
		case !sampleName.MatchString(s.Name):
			return fmt.Errorf("it declares the %s %q; a name is lower-case letters, digits and '_'", what, clean(s.Name, 80, false))
		case isWord(s.Name) || what == "sample" && slices.Contains([]string{"system", "check", "detail"}, s.Name):
			return fmt.Errorf("it declares the %s %s, a name that expressions have for something else: choose another", what, s.Name)
		case seen[s.Name]:
			return fmt.Errorf("it declares the %s %s twice", what, s.Name)
		case !slices.Contains(sampleTypes(), s.Type):
			return typeError(what, s.Name, s.Type, sampleTypes())
		}
		if err := checkKind(what, s); err != nil {
			return err
		}
		seen[s.Name] = true
	}
	return nil
}

// checkKind holds the kind of a sample to its type.
func checkKind(what string, s core.SampleDecl) error {
	measured := s.Type == core.NumberSample || s.Type == core.IntegerSample || s.Type == core.DurationSample
	switch s.Kind {
	case "":
		return nil
	case "gauge", "counter":
		if !measured {
			return fmt.Errorf("it declares the %s %s of type %s as a %s; only numbers, integers and durations are", what, s.Name, s.Type, s.Kind)
		}
	case "enum":
		if s.Type != core.StringSample && s.Type != core.IntegerSample {
			return fmt.Errorf("it declares the %s %s of type %s as an enum; only strings and integers are", what, s.Name, s.Type)
		}
	default:
		return fmt.Errorf("it declares the %s %s of kind %q; kinds are gauge, counter, enum", what, s.Name, s.Kind)
	}
	return nil
}

func checkFunctions(functions []core.FunctionDecl) error {
	if len(functions) > maxFunctions {
		return fmt.Errorf("it declares %d functions, the limit is %d", len(functions), maxFunctions)
	}
	types := append(sampleTypes(), core.ListSample)
	seen := map[string]bool{}
	for _, f := range functions {
		switch {
		case !functionName.MatchString(f.Name) || isWord(f.Name):
			return fmt.Errorf("it declares the function %q; a name is lower-case letters, digits and '_', begins with a letter and is no word of expressions", clean(f.Name, 80, false))
		case seen[f.Name]:
			return fmt.Errorf("it declares the function %s twice", f.Name)
		case len(f.Params) > maxParams:
			return fmt.Errorf("its function %s has %d parameters, the limit is %d", f.Name, len(f.Params), maxParams)
		case f.Returns == "":
			return fmt.Errorf("its function %s does not say what it returns", f.Name)
		case !slices.Contains(types, f.Returns):
			return typeError("result of function", f.Name, f.Returns, types)
		}
		seen[f.Name] = true
		params := map[string]bool{}
		for _, p := range f.Params {
			switch {
			case !sampleName.MatchString(p.Name) || params[p.Name]:
				return fmt.Errorf("its function %s has the parameter %q; a name is lower-case letters, digits and '_', once", f.Name, clean(p.Name, 80, false))
			case !slices.Contains(types, p.Type):
				return typeError("parameter", f.Name+"."+p.Name, p.Type, types)
			}
			params[p.Name] = true
		}
	}
	return nil
}

// isWord reports whether a name is one of the words of the language of expressions.
func isWord(name string) bool {
	switch name {
	case "and", "or", "not", "in", "let", "if", "else", "true", "false", "nil", "null", "matches", "contains":
		return true
	}
	return false
}
