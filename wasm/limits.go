package wasm

import (
	"cmp"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// The limits that no grant can move.
const (
	maxFile       = 20 << 20
	sliceFuel     = 1_000_000 // between two looks at the clock: a millisecond or less
	fuelHostCall  = 500       // a call to the host, in instructions
	fuelHTTP      = 20_000    // a http request, besides
	bytesPerFuel  = 16        // that a host function copies for one instruction
	maxRequest    = 1 << 20   // bytes of a http request
	maxRedirects  = 5
	maxLogLine    = 4096 // bytes
	maxSummary    = 500  // bytes
	maxText       = 4096 // bytes of a reason or of a text sample
	describeFuel  = 2_000_000_000
	describeTime  = 15 * time.Second
	describeBytes = 64 << 20 // linear memory while it describes itself
)

// DefaultLimits are what a grant that names no limits means.
func DefaultLimits() core.Limits {
	return core.Limits{Memory: 16 << 20, Fuel: 1_000_000_000, Output: 256 << 10, Logs: 64 << 10, HTTPCalls: 20, HTTPResponse: 1 << 20}
}

// MaxLimits are the most that a grant can name.
func MaxLimits() core.Limits {
	return core.Limits{Memory: 256 << 20, Fuel: 100_000_000_000, Output: 4 << 20, Logs: 1 << 20, HTTPCalls: 200, HTTPResponse: 16 << 20}
}

// effective fills in the defaults.
func effective(l core.Limits) core.Limits {
	d := DefaultLimits()
	return core.Limits{
		Memory: cmp.Or(l.Memory, d.Memory), Fuel: cmp.Or(l.Fuel, d.Fuel), Output: cmp.Or(l.Output, d.Output),
		Logs: cmp.Or(l.Logs, d.Logs), HTTPCalls: cmp.Or(l.HTTPCalls, d.HTTPCalls), HTTPResponse: cmp.Or(l.HTTPResponse, d.HTTPResponse),
	}
}

type namedLimit struct {
	name  string
	value int64
}

func named(l core.Limits) []namedLimit {
	return []namedLimit{
		{"memory_bytes", l.Memory},
		{"fuel", l.Fuel},
		{"output_bytes", l.Output},
		{"log_bytes", l.Logs},
		{"http_calls", int64(l.HTTPCalls)},
		{"http_response_bytes", l.HTTPResponse},
	}
}

// checkLimits reports the first of l that is negative or over its maximum.
func checkLimits(l, most core.Limits, whose string) error {
	top := named(most)
	for i, n := range named(l) {
		if n.value < 0 {
			return fmt.Errorf("the limit %s is negative", n.name)
		}
		if n.value > top[i].value {
			return fmt.Errorf("the limit %s is %d, %s is %d", n.name, n.value, whose, top[i].value)
		}
	}
	return nil
}

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
