//go:build !wasip1

package guest

// Register does nothing in a native program: there is no host to offer c to.
// Test c with [Collector.Run], [Collector.Act] and [Collector.Call].
func Register(Collector) {}

// Call answers nothing in a native program.
func Call(string) int32 { return 1 }
