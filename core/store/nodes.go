package store

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

// ErrFenced is returned when what a process wants to write has been given to
// another one since. What it knows is old: it must load anew.
var ErrFenced = errors.New("another node has taken this over")

// Share is the part of the work that is this process's.
type Share struct {
	Version int64 // another one for each change
	// Shards are the epochs of the leases by which it runs the assignments of
	// each, 0 of those that it does not.
	Shards [core.Shards]int64
	Rules  bool // it runs the rules
}

// Holds reports whether an Assignment is this process's to run.
func (s *Share) Holds(assignment string) bool { return s.Epoch(assignment) != 0 }

// Epoch is that of the lease by which this process runs an Assignment, 0 when it
// does not.
func (s *Share) Epoch(assignment string) int64 {
	system, _ := core.SplitAssignmentID(assignment)
	return s.Shards[core.ShardOf(system)]
}

// Whole is the Share of a process that is alone.
func Whole() Share {
	s := Share{Rules: true}
	for i := range s.Shards {
		s.Shards[i] = 1
	}
	return s
}

// Nodes shares the work of one database among several processes. Each shard of
// the Systems, and the rules, are leased to one at a time; the clock of the
// database says when a lease has run out. Whatever a process believes, the
// Ledger drops runs of shards that are another's and runs that began under
// another lease than the one that this process has, and the Journal refuses with
// ErrFenced a turn of rules that are: nobody writes what is not theirs. A
// backend that only one process can use does not keep this role.
//
//nolint:interfacebloat // one role
type Nodes interface {
	// Share returns the newest Share, once its Version is not after. It fails
	// with the error of ctx when that ends first, and for good when another
	// process has taken the name of this one.
	Share(ctx context.Context, after int64) (Share, error)
	// Report tells the others how this process does.
	Report(ctx context.Context, r core.NodeReport) error
	// Nodes lists all processes, by name, also those that ended without a word
	// not long ago.
	Nodes(ctx context.Context) ([]core.Node, error)
	// Leave gives everything back at once and takes nothing more, for a process
	// that is about to end.
	Leave(ctx context.Context) error
	// Now is the time by the clock of the database, as far as it is known, with
	// an error of the time that it took to ask.
	Now() time.Time
	// Tenure says how the leases of this process are, without asking.
	Tenure() Tenure
}

// Tenure is how a process is with its leases.
type Tenure struct {
	Renewed  time.Time // when they were renewed last, by the clock of this process
	TakeOver int64     // shares that it has taken from others that were not heard of, since its start
}

// Ask is a run that somebody asked for at another process.
type Ask struct {
	ID         int64
	Assignment string
}

// Peers lets processes that share a database tell each other what is neither
// in the Log nor in the Catalog.
type Peers interface {
	// Shelf waits until the modules, their releases or the secrets are of
	// another version than after, or ctx ends; any version may be given at
	// first. It is a hint like Log.Wait.
	Shelf(ctx context.Context, after int64) (int64, error)
	// AskRun asks whoever holds an Assignment to run it now, and waits for the
	// answer or the end of ctx.
	AskRun(ctx context.Context, assignment string) (answer string, err error)
	// Asked takes what was asked of this process, at most once each; it waits
	// until there is something or ctx ends.
	Asked(ctx context.Context) ([]Ask, error)
	// Answer says what came of it.
	Answer(ctx context.Context, ask int64, answer string) error
}
