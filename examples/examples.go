// Package examples holds the modules that come with Tocsin, built.
//
// Each is one folder under collectors with its source and a README. A test
// builds it anew and checks that the built copy belongs to the source.
package examples

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the built modules
	"fmt"
	"io"
)

//go:embed collectors/queue-depth/queue-depth.wasm.gz
var queueDepth []byte

// QueueDepth is the module file of the collector queue-depth, which the demo
// uses.
func QueueDepth() ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(queueDepth))
	if err != nil {
		return nil, fmt.Errorf("unpack the module queue-depth: %w", err)
	}
	file, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("unpack the module queue-depth: %w", err)
	}
	return file, nil
}
