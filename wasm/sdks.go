package wasm

import (
	"embed"
	"io/fs"
)

//go:embed abi/*.go guest/*.go
//go:embed guest/rust/Cargo.toml guest/rust/src
//go:embed guest/assemblyscript/README.md guest/assemblyscript/package-lock.json guest/assemblyscript/assembly
//go:embed guest/c/tocsin.h
var sdks embed.FS

// SDKs is the source of what authors of modules build on, as it lies in this
// directory: abi and guest for Go, with their tests, guest/rust,
// guest/assemblyscript and guest/c.
func SDKs() fs.FS { return sdks }
