//go:build !wasip1

package guest

// Register does nothing in a native program: there is no host to offer c to.
// Test c with [Collector.Run].
func Register(Collector) {}
