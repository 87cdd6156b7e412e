package wasm

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/meter"
)

// isCommand tells a program for WASI preview 1 from a reactor.
func isCommand(m *meter.Module) bool {
	_, marked := m.Export(abi.Marker)
	_, starts := m.Export(abi.Start)
	return starts && !marked
}

// checkCommand reports why a file cannot be run as a command.
func checkCommand(m *meter.Module) error {
	for _, im := range m.Imports {
		if im.Module == abi.HostModule {
			return fmt.Errorf("it is a WASI command and imports %s.%s; only a reactor calls the host: export %s and build Go with -buildmode=c-shared, Rust as a cdylib, C with -mexec-model=reactor",
				im.Module, clean(im.Name, 100, false), abi.Marker)
		}
	}
	return checkExport(m, abi.Start, meter.FuncType{}, true)
}

// checkReactor reports what a reactor must export and does not, and what it
// exports with the wrong type.
func checkReactor(m *meter.Module) error {
	if _, ok := m.Export(abi.Marker); !ok {
		return fmt.Errorf("it does not export %s, the mark of a module for Tocsin, nor %s as a WASI command does", abi.Marker, abi.Start)
	}
	if err := checkExport(m, "_initialize", meter.FuncType{}, false); err != nil {
		return err
	}
	return checkExport(m, abi.Describe, meter.FuncType{Results: []byte{i32}}, m.Custom(abi.ManifestSection) == nil)
}

// checkExport holds the export name to its type. It may be missing unless it
// is needed.
func checkExport(m *meter.Module, name string, want meter.FuncType, needed bool) error {
	e, ok := m.Export(name)
	switch {
	case !ok && needed:
		return fmt.Errorf("it does not export the function %s", name)
	case !ok:
		return nil
	case e.Kind != meter.Func:
		return fmt.Errorf("it exports %s, which is not a function", name)
	case !e.Type.Equal(want):
		return fmt.Errorf("it exports %s as %s; it must be %s", name, e.Type, want)
	}
	return nil
}

// checkOffers reports what a manifest promises and the file does not keep.
func checkOffers(file *meter.Module, m core.Manifest) error {
	if isCommand(file) {
		if w := m.Wants; len(w.HTTP)+len(w.TCP)+len(w.DNS)+len(w.Secrets) > 0 || w.KV != "" {
			return errors.New("its manifest wants more than limits, and a WASI command cannot call the host: take wants out, or build a reactor")
		}
		return nil // it tells the kinds of requests apart itself
	}
	entry := meter.FuncType{Results: []byte{i32}}
	for _, offer := range m.Offers {
		switch offer {
		case abi.OffersCollector:
			if err := checkExport(file, abi.Collect, entry, true); err != nil {
				return err
			}
		case abi.OffersAction:
			if err := checkExport(file, abi.Act, entry, true); err != nil {
				return err
			}
		}
	}
	for _, f := range m.Functions {
		if err := checkExport(file, abi.FunctionPrefix+f.Name, entry, true); err != nil {
			return err
		}
	}
	return nil
}

// noManifest is why a command without the custom section is refused that did
// not describe itself either: err ended it, or its output is no document.
func noManifest(output []byte, err error) error {
	said := "it wrote nothing"
	switch {
	case err != nil:
		said = err.Error()
	case len(bytes.TrimSpace(output)) > 0:
		said = fmt.Sprintf("it wrote %q", clean(string(output[:min(len(output), maxText)]), 80, false))
	}
	return fmt.Errorf("it is a WASI command without a manifest: it has no custom section %s, and when it was asked to describe itself %s; add the section, or answer a request of kind %s with the manifest on standard output",
		abi.ManifestSection, said, abi.KindDescribe)
}

// exitedWell reports whether what ended a guest is that a command was done.
func (r *run) exitedWell(err error) bool {
	s, ok := errors.AsType[*stop](err)
	return ok && r.command && s.code == "exit" && r.exited == 0
}

// lastLine is the last thing that a guest logged.
func (r *run) lastLine() string {
	for i := len(r.logs) - 1; i >= 0 && !r.logFull; i-- {
		if r.logs[i].Text != "" {
			return clean(r.logs[i].Text, 300, false)
		}
	}
	return ""
}
