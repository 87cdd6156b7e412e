package wasm

import (
	"embed"
	"io/fs"
)

//go:embed abi/abi.go
//go:embed guest/guest.go guest/offers.go guest/schema.go guest/register_other.go guest/register_wasip1.go
//go:embed guest/rust/Cargo.toml guest/rust/src
//go:embed guest/assemblyscript/README.md guest/assemblyscript/package-lock.json guest/assemblyscript/assembly
//go:embed guest/c/tocsin.h
var sdks embed.FS

// SDKs is the source of what authors of modules build on, as it lies in this
// directory: abi and guest for Go, guest/rust, guest/assemblyscript and guest/c.
func SDKs() fs.FS { return sdks }
