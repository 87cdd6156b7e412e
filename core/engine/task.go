package engine

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/schedule"
)

// Errors of [Engine.RunNow].
var (
	// ErrUnknown is returned for an Assignment that the engine does not run.
	ErrUnknown = errors.New("the assignment is not scheduled")
	// ErrRunning is returned when a run of the Assignment is under way or
	// waits for a worker: there is never more than one.
	ErrRunning = errors.New("the assignment is running already")
	// ErrStopped is returned when the engine does not run, or stops before the
	// run is done.
	ErrStopped = errors.New("the engine is not running")
	// ErrDropped is returned for a run that was made and could not be stored.
	ErrDropped = errors.New("the run was dropped because storage refused it or was away too long")
	// ErrForeign is returned for a run that was made and not stored because the
	// Assignment is not this process's any more.
	ErrForeign = errors.New("the run was not stored: its check was deleted meanwhile, or another node runs it by now")
)

// Task is one runnable Assignment. It is a value; the engine never changes it.
type Task struct {
	// ID of the Assignment.
	ID string
	// Revision changes whenever anything about the Task does: two Tasks of the
	// same ID and Revision are the same Task.
	Revision string
	// Schedule says when it is due; it must not be nil.
	Schedule *schedule.Schedule
	// Timeout is the deadline of one run. Default [core.DefaultTimeout].
	Timeout time.Duration
	// StaleAfter is how long it may go without a run before it is Stale; 0 is
	// for ever.
	StaleAfter time.Duration
	// Host is what the limit on parallel runs per host counts by, such as
	// host:port; none when empty.
	Host string
	// Collect makes the run: it fills Outcome, Why, Summary, Latency, Samples
	// and Steps. It must return soon after ctx ends and not touch run after it
	// returned; ID, Assignment, times and Manual are the engine's. When it
	// does not return in time or panics the run is recorded all the same.
	Collect func(ctx context.Context, run *core.Run)
}

// Recorder makes runs durable; it is a part of store.Ledger.
type Recorder interface {
	// Record stores all runs or, with an error, none, and gives each its ID. One
	// that is not for this process to store, because its Assignment is gone or
	// another process's by now, is left out and keeps ID 0.
	Record(ctx context.Context, runs []*core.Run) error
	// Expire makes silent assignments stale.
	Expire(ctx context.Context, assignments []string, now time.Time) error
}

// Options of an Engine. The zero value works.
type Options struct {
	// Workers is how many runs may be under way at once, not counting the slow
	// lane, nor four times as many that are merely waiting for slow targets
	// while others wait for them. Default 256.
	Workers int
	// SlowWorkers is how many runs of assignments that lately failed slowly
	// may be under way at once. Default 32.
	SlowWorkers int
	// PerHost is how many runs of each lane may be under way at once against
	// one host. Default 8.
	PerHost int
	// Linger is how long a finished run waits for others to be recorded in the
	// same transaction. Default 5 ms.
	Linger time.Duration
	// Batch is the most runs recorded in one transaction. Default 1,000.
	Batch int
	// Buffer is how many finished runs are kept while storage fails. Beyond
	// it the oldest passing ones are dropped first. Default 100,000.
	Buffer int
	// Epoch is that of the lease under which an Assignment is run now, for
	// [core.Run]. It must not block. Default 0, which says nothing of it.
	Epoch func(assignment string) int64
	// Wall is the wall clock. Default time.Now.
	Wall func() time.Time
	// Drain is how long runs under way may go on, and finished ones may wait
	// for storage, once Run's context has ended. Default 5 s.
	Drain time.Duration
}

// Stats is how the engine does, at one instant.
type Stats struct {
	Tasks    int     `json:"tasks" doc:"scheduled"`
	Runs     int64   `json:"runs" doc:"recorded since start"`
	Skipped  int64   `json:"skipped" doc:"ticks passed over because the run before was not over"`
	Inflight int     `json:"inflight" doc:"runs under way"`
	Waiting  int     `json:"waiting" doc:"due, and waiting for a worker"`
	Slow     int     `json:"slow" doc:"assignments in the slow lane"`
	Stuck    int     `json:"stuck" doc:"collectors that did not return at their deadline and still have not"`
	Unstored int     `json:"unstored" doc:"done, and waiting for storage"`
	Buffer   int     `json:"buffer" doc:"how many may wait for storage before some are dropped"`
	Dropped  int64   `json:"dropped" doc:"results dropped because storage was away too long; the oldest passing ones first"`
	LateP99  float64 `json:"late_p99_ms" doc:"99th percentile of start after due, of the last one to two minutes, slow lane not counted"`
	Foreign  int64   `json:"foreign" doc:"results not stored because their assignment was deleted, or another node's, by then"`
	Error    string  `json:"error,omitempty" doc:"why storage fails now"`
}
