package wasm

import (
	"fmt"
	"time"
)

// The limits that no grant can move.
const (
	maxFile       = 20 << 20
	sliceFuel     = 1_000_000 // between two looks at the clock: a millisecond or less
	fuelHostCall  = 500       // a call to the host, in instructions
	fuelHTTP      = 20_000    // a http request, besides
	fuelLookup    = 20_000    // the same for dns, kept values and each connection
	fuelStep      = 2_000     // the same for what goes over a connection, and secrets
	maxReceive    = 1 << 20   // bytes of one receive
	receiveBytes  = 64 << 10  // the same when the guest names none
	maxLookup     = 10 * time.Second
	maxRecords    = 100      // of one answer of dns
	maxKey        = 256      // bytes
	maxKept       = 64 << 10 // bytes of a value that is kept
	maxRecording  = 1 << 20  // bytes of a recording
	bytesPerFuel  = 16       // that a host function copies for one instruction
	maxRequest    = 1 << 20  // bytes of a http request
	maxRedirects  = 5
	maxLogLine    = 4096 // bytes
	maxSummary    = 500  // bytes
	maxText       = 4096 // bytes of a reason or of a text sample
	describeFuel  = 2_000_000_000
	describeTime  = 15 * time.Second
	describeBytes = 64 << 20 // linear memory while it describes itself
)

// size writes bytes for people: "16 MiB", "300 bytes".
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
