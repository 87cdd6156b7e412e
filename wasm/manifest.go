package wasm

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

const maxManifest = 256 << 10 // bytes

// readManifest decodes and checks what a module says of itself.
func readManifest(document []byte) (core.Manifest, error) {
	if len(document) > maxManifest {
		return core.Manifest{}, fmt.Errorf("its manifest has %d bytes, the limit is %s", len(document), size(maxManifest))
	}
	var a abi.Manifest
	if err := json.Unmarshal(document, &a); err != nil {
		return core.Manifest{}, fmt.Errorf("its manifest is not valid JSON: %s", clean(err.Error(), 200, false))
	}
	if err := checkABI(a.ABI); err != nil {
		return core.Manifest{}, err
	}
	m := core.Manifest{
		ABI: a.ABI, Name: a.Name, Version: clean(a.Version, 64, false), Doc: clean(a.Doc, maxText, true), Author: clean(a.Author, 200, false),
		Offers: a.Offers, Schema: a.ConfigSchema, Samples: declared(a.Samples),
		Wants: core.Grant{
			HTTP: a.Wants.HTTP, TCP: a.Wants.TCP, DNS: a.Wants.DNS, Private: a.Wants.Private, KV: a.Wants.KV,
			Secrets: a.Wants.Secrets, Reveal: a.Wants.Reveal, Limits: core.Limits(a.Wants.Limits),
		},
	}
	if a.Action != nil {
		m.Action = &core.ActionDecl{Schema: a.Action.ConfigSchema, Outputs: declared(a.Action.Outputs)}
	}
	for _, f := range a.Functions {
		decl := core.FunctionDecl{Name: f.Name, Doc: clean(f.Doc, maxText, false), Params: []core.SampleDecl{}, Returns: core.SampleType(f.Returns)}
		for _, p := range f.Params {
			decl.Params = append(decl.Params, core.SampleDecl{Name: p.Name, Type: core.SampleType(p.Type)})
		}
		m.Functions = append(m.Functions, decl)
	}
	if err := checkManifest(m); err != nil {
		return core.Manifest{}, err
	}
	if m.Action == nil && slices.Contains(m.Offers, abi.OffersAction) {
		m.Action = &core.ActionDecl{}
	}
	return m, nil
}

func declared(samples []abi.Sample) []core.SampleDecl {
	var out []core.SampleDecl
	for _, s := range samples {
		out = append(out, core.SampleDecl{
			Name: s.Name, Type: core.SampleType(s.Type), Kind: clean(s.Kind, 40, false), Unit: clean(s.Unit, 40, false), Doc: clean(s.Doc, maxText, false),
		})
	}
	return out
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
	if err := checkOffered(m); err != nil {
		return err
	}
	if err := m.Wants.Check(); err != nil {
		return fmt.Errorf("its manifest wants %w", err)
	}
	return nil
}
