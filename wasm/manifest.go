package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

const (
	maxSamples = 200
	maxSchema  = 64 << 10 // bytes
	maxWants   = 100      // patterns
)

var sampleName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,63}$`)

// readManifest decodes and checks what a module says of itself.
func readManifest(document []byte) (core.Manifest, error) {
	var a abi.Manifest
	if err := json.Unmarshal(document, &a); err != nil {
		return core.Manifest{}, fmt.Errorf("its manifest is not valid JSON: %s", clean(err.Error(), 200, false))
	}
	if err := checkABI(a.ABI); err != nil {
		return core.Manifest{}, err
	}
	m := core.Manifest{
		ABI: a.ABI, Name: a.Name, Version: clean(a.Version, 64, false), Doc: clean(a.Doc, maxText, true), Author: clean(a.Author, 200, false),
		Offers: []string{abi.OffersCollector}, Schema: a.ConfigSchema,
		Wants: core.Grant{HTTP: a.Wants.HTTP, Private: a.Wants.Private, Limits: core.Limits(a.Wants.Limits)},
	}
	for _, s := range a.Samples {
		m.Samples = append(m.Samples, core.SampleDecl{
			Name: s.Name, Type: core.SampleType(s.Type), Kind: clean(s.Kind, 40, false), Unit: clean(s.Unit, 40, false), Doc: clean(s.Doc, maxText, false),
		})
	}
	if !slices.Contains(a.Offers, abi.OffersCollector) {
		return core.Manifest{}, fmt.Errorf("its manifest offers %s; this host takes modules that offer a collector", listed(a.Offers))
	}
	return m, checkManifest(m)
}

// checkABI accepts every version with our major.
func checkABI(version string) error {
	major, ok := strings.CutPrefix(version, "tocsin/")
	major, _, _ = strings.Cut(major, ".")
	n, err := strconv.Atoi(major)
	switch {
	case version == "":
		return fmt.Errorf("its manifest names no abi; it must be %s", abi.Version)
	case !ok || err != nil:
		return fmt.Errorf("its manifest names the abi %s; it must be %s", clean(version, 40, false), abi.Version)
	case n > 1:
		return fmt.Errorf("it is made for %s and this host speaks %s: upgrade the host", clean(version, 40, false), abi.Version)
	case n < 1:
		return fmt.Errorf("it is made for %s, which no host speaks; this one speaks %s", clean(version, 40, false), abi.Version)
	}
	return nil
}

func checkManifest(m core.Manifest) error {
	if err := core.CheckName(m.Name); err != nil {
		return fmt.Errorf("its manifest: %w", err)
	}
	if m.Version == "" {
		return errors.New("its manifest names no version")
	}
	if err := checkSchema(m.Schema); err != nil {
		return err
	}
	if err := checkSamples(m.Samples); err != nil {
		return err
	}
	if len(m.Wants.HTTP) > maxWants {
		return fmt.Errorf("its manifest wants %d http patterns, the limit is %d", len(m.Wants.HTTP), maxWants)
	}
	if _, err := parsePatterns(m.Wants.HTTP); err != nil {
		return fmt.Errorf("its manifest wants http: %w", err)
	}
	if err := checkLimits(m.Wants.Limits, MaxLimits(), "the most"); err != nil {
		return fmt.Errorf("its manifest wants more than can be granted: %w", err)
	}
	return nil
}

func checkSchema(schema json.RawMessage) error {
	if len(schema) == 0 {
		return nil
	}
	if len(schema) > maxSchema {
		return fmt.Errorf("its config_schema has %d bytes, the limit is %s", len(schema), size(maxSchema))
	}
	var object map[string]any
	if err := json.Unmarshal(schema, &object); err != nil || object == nil {
		return errors.New("its config_schema is not a JSON object")
	}
	if t, ok := object["type"]; ok && t != "object" {
		return fmt.Errorf("its config_schema is of type %v; a configuration is an object", t)
	}
	return nil
}

func checkSamples(samples []core.SampleDecl) error {
	if len(samples) > maxSamples {
		return fmt.Errorf("it declares %d samples, the limit is %d", len(samples), maxSamples)
	}
	types := []core.SampleType{
		core.NumberSample, core.IntegerSample, core.StringSample, core.BoolSample,
		core.DurationSample, core.TimeSample, core.MapSample, core.AnySample,
	}
	seen := map[string]bool{}
	for _, s := range samples {
		switch {
		case !sampleName.MatchString(s.Name):
			return fmt.Errorf("it declares the sample %q; a name is lower-case letters, digits and '_'", clean(s.Name, 80, false))
		case seen[s.Name]:
			return fmt.Errorf("it declares the sample %s twice", s.Name)
		case !slices.Contains(types, s.Type):
			return fmt.Errorf("it declares the sample %s of type %q; types are number, integer, string, bool, duration, time, map, any", s.Name, clean(string(s.Type), 40, false))
		}
		seen[s.Name] = true
	}
	return nil
}
