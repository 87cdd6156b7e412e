package script

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
	"sync"
)

//go:embed engine/quickjs.wasm.gz
var packed []byte

//go:embed prelude.js
var prelude string

// Engine is the interpreter, a WebAssembly module: QuickJS-NG, as the npm
// package quickjs-wasi compiles it. engine/package-lock.json pins it, and
// engine/LICENSE holds its notices. Its exports and imports are those of that
// package.
//
//nolint:gochecknoglobals // unpacked once, and never changed
var Engine = sync.OnceValue(func() []byte {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		panic(err) // what is embedded was packed by us
	}
	file, err := io.ReadAll(r)
	if err != nil {
		panic(err)
	}
	return file
})

// Prelude is what the interpreter evaluates before a script. It makes the API
// of scripts out of one function of the host, and leaves the entries of a run
// in the variable Entries.
func Prelude() string { return prelude }

// Entries is the variable that holds the entries of a run.
const Entries = "__tocsin"

// HostCall is the variable in which the prelude finds the host: a function
// that takes the name of a call and its text, and answers with text.
const HostCall = "__host"
