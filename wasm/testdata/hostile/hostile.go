// Package hostile holds modules that misbehave, each in a way of its own, for
// the tests of the sandbox and for the bench that lets them loose on a server.
package hostile

import "embed"

// Files are the modules, as NAME.wasm. The first line of NAME.wat beside it says
// what it does.
//
//go:embed *.wasm
var Files embed.FS
