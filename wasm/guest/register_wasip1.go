package guest

import (
	"encoding/json"
	"time"
	"unsafe"
)

var registered Collector //nolint:gochecknoglobals // the exports of a module have no other way to find it

// Register makes c what the module offers. Call it from init: nothing calls
// the main function of a reactor. It rehearses a run, without calling Collect.
func Register(c Collector) {
	registered = c
	c.rehearse()
}

//go:wasmimport tocsin_v1 input_length
func inputLength() uint32

//go:wasmimport tocsin_v1 input_read
func inputRead(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 output_write
func outputWrite(ptr unsafe.Pointer, n uint32)

//go:wasmimport tocsin_v1 log
func hostLog(level uint32, ptr unsafe.Pointer, n uint32)

//go:wasmimport tocsin_v1 http
func hostHTTP(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 tcp
func hostTCP(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 tls_info
func hostTLSInfo(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 dns
func hostDNS(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 kv_get
func hostKVGet(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 kv_set
func hostKVSet(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 secret
func hostSecret(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 reveal
func hostReveal(ptr unsafe.Pointer, n uint32) uint32

//go:wasmimport tocsin_v1 now
func hostNow() int64

//go:wasmimport tocsin_v1 random
func hostRandom(ptr unsafe.Pointer, n uint32)

//go:wasmexport tocsin_abi_v1
func marker() int32 { return 1 }

//go:wasmexport tocsin_describe
func describe() int32 {
	manifest, err := registered.Manifest()
	return reply(manifest, err)
}

//go:wasmexport tocsin_collect
func collect() int32 { return reply(registered.Run(input(), host{}), nil) }

//go:wasmexport tocsin_act
func act() int32 { return reply(registered.Act(input(), host{}), nil) }

// Call answers a call of a function that the module offers. Each function
// needs an export of its own:
//
//	//go:wasmexport tocsin_fn_score
//	func score() int32 { return guest.Call("score") }
func Call(function string) int32 { return reply(registered.Call(function, input(), host{}), nil) }

// reply writes a document, or the reason why there is none.
func reply(document any, err error) int32 {
	var b []byte
	if err == nil {
		b, err = json.Marshal(document)
	}
	if err != nil {
		write([]byte(err.Error()))
		return 1
	}
	write(b)
	return 0
}

func write(b []byte) { outputWrite(unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))) }

// input is the current input.
func input() []byte {
	b := make([]byte, inputLength())
	n := 0
	for n < len(b) {
		read := inputRead(unsafe.Pointer(&b[n]), uint32(len(b)-n))
		if read == 0 {
			break
		}
		n += int(read)
	}
	return b[:n]
}

// host is the host outside of the sandbox.
type host struct{}

var _ Host = host{}

func (host) Call(name string, request []byte) []byte {
	ptr, n := unsafe.Pointer(unsafe.SliceData(request)), uint32(len(request))
	switch name {
	case "http":
		hostHTTP(ptr, n)
	case "tcp":
		hostTCP(ptr, n)
	case "tls_info":
		hostTLSInfo(ptr, n)
	case "dns":
		hostDNS(ptr, n)
	case "kv_get":
		hostKVGet(ptr, n)
	case "kv_set":
		hostKVSet(ptr, n)
	case "secret":
		hostSecret(ptr, n)
	case "reveal":
		hostReveal(ptr, n)
	default:
		return []byte(`{"error":{"code":"invalid","message":"the host has no such function"}}`)
	}
	return input()
}

func (host) Log(level Level, text string) {
	hostLog(uint32(level), unsafe.Pointer(unsafe.StringData(text)), uint32(len(text)))
}

func (host) Now() time.Time { return time.Unix(0, hostNow()) }

func (host) Random(b []byte) {
	if len(b) > 0 {
		hostRandom(unsafe.Pointer(&b[0]), uint32(len(b)))
	}
}
