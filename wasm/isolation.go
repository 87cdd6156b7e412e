package wasm

// Isolation is how the runs of a module are kept apart. Hosts that [New] makes
// are Restored; the others exist so that a bench can show what that costs.
type Isolation int

const (
	// Restored runs are metered and limited, and begin in the state that the
	// module's initialisation left, see the package documentation.
	Restored Isolation = iota
	// Fresh is the same with a new instance for each run.
	Fresh
	// Bare is no isolation at all: runs follow each other in one instance, find
	// what the last one left, and may compute for ever.
	Bare
)

// NewForBench makes a Host for a bench, which runs modules that it trusts. The
// caller closes it.
func NewForBench(o Options, isolation Isolation) (*Host, error) { return newHost(o, isolation) }
