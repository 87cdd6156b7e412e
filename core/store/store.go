// Package store states what Tocsin needs of storage, as small roles. A backend
// (core/store/sqlite) keeps all of them over one database; whoever uses storage
// takes only the role it needs. core/store/storetest proves that a backend
// keeps the contract.
//
// Every method that returns nil has made its effect durable. Methods are safe
// for concurrent use. Reads see every write that returned before they began.
// An error other than the named ones is a fault of the storage itself.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
)

// ErrNotFound is returned for a thing that is not stored.
var ErrNotFound = errors.New("not found")

// ErrConflict is returned when what was read before has changed since.
var ErrConflict = errors.New("changed by somebody else")

// Ledger records runs and moves health; it is the only writer of Health.
type Ledger interface {
	// Record stores runs, in order, gives each its ID, moves standings and
	// roll-ups with a [core.Board] and appends the Transitions, all in one
	// transaction: either every run of the batch is stored or none. A run of
	// an Assignment that no longer exists, or that is another process's, is
	// dropped and keeps ID 0; see [Nodes]. The
	// Recording of a step is stored with its run and the step says so in
	// Replay; one that is too large is left out.
	Record(ctx context.Context, runs []*core.Run) error
	// Expire makes stale those of the assignments that have been silent for
	// longer than they promise; see [core.Board.Expire].
	Expire(ctx context.Context, assignments []string, now time.Time) error
	// Standings of all assignments, for a start.
	Standings(ctx context.Context) (map[string]core.Standing, error)
	// Standing of one assignment; ErrNotFound when there is none.
	Standing(ctx context.Context, assignment string) (core.Standing, error)
	// Rolled is the health of all Systems and Groups, in no order.
	Rolled(ctx context.Context) ([]core.Rolled, error)
}

// Log is all Transitions in order of Seq.
type Log interface {
	// After returns entries with a greater Seq, in order, at most limit.
	After(ctx context.Context, seq int64, limit int) ([]core.Transition, error)
	// Head is the greatest Seq, 0 when the log is empty.
	Head(ctx context.Context) (int64, error)
	// Wait returns nil when Head is greater than seq, or the error of ctx when
	// that ends first. It is a hint: it may return early, never late by more than a second.
	Wait(ctx context.Context, seq int64) error
}

// Kind of a stored object.
type Kind string

// The kinds of stored objects.
const (
	Systems      Kind = "system"
	Checks       Kind = "check"
	Rules        Kind = "rule"
	Maintenances Kind = "maintenance"
	Silences     Kind = "silence"
	Channels     Kind = "channel"
	// Acknowledgements have the id of the episode they are of.
	Acknowledgements Kind = "acknowledgement"
)

// Object is one stored object: its identity, its version and its JSON.
type Object struct {
	Kind    Kind
	ID      string
	Version int64 // 1 when created, plus 1 with each change of Body
	Body    []byte
	Created time.Time
	Updated time.Time
	By      string // who changed it last
}

// Edit is a set of changes that belong together.
type Edit struct {
	// Base is the Version of the catalog that the edit was computed from; the
	// edit is refused with ErrConflict when the catalog has moved on.
	Base    int64
	Put     []Object // Version and times are ignored
	Delete  []Object // Kind and ID
	Systems core.Change
	By      string
	Now     time.Time
}

// Catalog keeps what people wrote.
type Catalog interface {
	// Apply makes the edit, derived assignments and the Transitions that
	// follow from it (cause config), in one transaction. It returns the new
	// version of the catalog. Deleting what is not there is ErrNotFound.
	Apply(ctx context.Context, e Edit) (int64, error)
	// Objects of a kind, in order of id, and the version of the catalog that
	// the answer belongs to. No kind means all kinds.
	Objects(ctx context.Context, kinds ...Kind) ([]Object, int64, error)
	// Object by kind and id, or ErrNotFound.
	Object(ctx context.Context, kind Kind, id string) (Object, error)
	// Assignments of all checks, in order of id.
	Assignments(ctx context.Context) ([]core.Assignment, error)
	// Changed returns nil when the catalog's version is greater than version,
	// or the error of ctx when that ends first. It is a hint, like Log.Wait.
	Changed(ctx context.Context, version int64) error
}

// RunQuery selects runs, newest first.
type RunQuery struct {
	System      string
	Assignment  string
	Outcomes    []core.Outcome // any when empty
	Before      int64          // id; 0: from the newest
	Since       time.Time
	Limit       int  // at most 1,000; 0 is 100
	WithDetails bool // Steps and Samples too
}

// TransitionQuery selects transitions, newest first.
type TransitionQuery struct {
	Subject core.Subject // any when zero; a kind alone selects all of that kind
	System  string       // of this System and its assignments
	Before  int64        // seq; 0: from the newest
	Since   time.Time
	Limit   int // at most 1,000; 0 is 100
}

// History answers what happened.
type History interface {
	Runs(ctx context.Context, q RunQuery) ([]core.Run, error)
	// Run with all its detail, or ErrNotFound.
	Run(ctx context.Context, id int64) (core.Run, error)
	// RunsAfter returns runs with a greater ID in order, without detail, at
	// most limit: the runs as something to follow. An id of -1 returns none
	// and only tells the newest id.
	RunsAfter(ctx context.Context, id int64, limit int) (runs []core.Run, newest int64, err error)
	Transitions(ctx context.Context, q TransitionQuery) ([]core.Transition, error)
	// Prune adds up what is not yet, see Series.RollUp, and then deletes what
	// keep does not name, in small steps; with the decisions the firings that
	// have ended. The newest transition of a subject always stays. A run that
	// is older than runs recorded before it may stay as long as they do, and one
	// that is newer than runs recorded after it may go with them. It returns how
	// many rows went.
	Prune(ctx context.Context, keep Keep) (int64, error)
}

// Bound says how much of something is kept: what is newer than Before, and of
// that the newest Bytes. A field that is zero is no bound.
type Bound struct {
	Before time.Time
	Bytes  int64 // in the database, about
}

// Keep says what [History.Prune] leaves. Zero leaves everything.
type Keep struct {
	Now                    time.Time
	Runs                   Bound
	Minutes, Hours, Days   Bound     // of what is added up
	Transitions, Decisions time.Time // before which they go
}

// Tier is the bound of a tier.
func (k Keep) Tier(t series.Tier) Bound {
	switch t {
	case series.Minutes:
		return k.Minutes
	case series.Hours:
		return k.Hours
	case series.Days:
		return k.Days
	}
	return Bound{}
}

// ChartQuery asks for the history of one assignment.
type ChartQuery struct {
	Assignment string
	From, To   time.Time
	Points     int // about as many, at most 1,000; 0 is 120
}

// Sizes is about what history takes in the database, in bytes with indexes, and
// what the database takes with everything else.
type Sizes struct {
	Database             int64
	Runs                 int64
	Minutes, Hours, Days int64
}

// Tier is the size of a tier.
func (s *Sizes) Tier(t series.Tier) *int64 {
	switch t {
	case series.Minutes:
		return &s.Minutes
	case series.Hours:
		return &s.Hours
	case series.Days:
	}
	return &s.Days
}

// Series keeps history added up in buckets of a minute, an hour and a day, which
// stay when the runs are deleted.
type Series interface {
	// RollUp adds up some of what was recorded since it was added up last:
	// runs, each exactly once however late it came, and the time in each health
	// up to now. A call does a bounded amount of work and keeps recording
	// waiting for a part of it only. More is false when the end of the list was
	// reached; the next call begins it again.
	RollUp(ctx context.Context, now time.Time) (more bool, err error)
	// Chart merges buckets and what is not added up yet, as of one moment, so
	// that it has every run once and no hole; see [series.NewChart] for its
	// steps. ErrNotFound when there never was such an assignment.
	Chart(ctx context.Context, q ChartQuery) (*series.Chart, error)
	// Sizes says how much there is, as [Bound] counts it.
	Sizes(ctx context.Context) (Sizes, error)
}

// RunLog is all runs in order of ID, for rules that look at runs.
type RunLog interface {
	// RunsOf returns runs with a greater ID, in order, at most limit, with
	// their samples and without other detail; of some outcomes only unless
	// outcomes is empty. When it returns fewer than limit, there is no other up
	// to newest. An id of -1 returns none and only tells the newest id.
	RunsOf(ctx context.Context, id int64, outcomes []core.Outcome, limit int) (runs []core.Run, newest int64, err error)
}

// Turn is what one step of the rules runner changes, together.
type Turn struct {
	Cursor    int64             // all entries of the log up to here are dealt with; never goes back
	State     map[string][]byte // gate state by key; nil deletes
	Decisions []core.Decision
	Firings   []core.Firing // inserted unless a firing of that id exists
	Cancel    []string      // firings to cancel, see Journal.Cancel
	// Moved are subjects whose health moved: steps that wait for something of
	// their system or group can be claimed again.
	Moved []core.Subject
	// Flow says what the new firings begin with. Without firings it may be nil.
	Flow Flow
}

// Flow says what follows in a firing from what its steps have come to. It is
// pure and quick: it is called within transactions, more than once if need be.
type Flow func(f core.Firing, steps []core.Delivery) Next

// Next is what follows.
type Next struct {
	// Begin are deliveries to make, or to let wait again when they are
	// cancelled or dead, with Place, Key, Kind and Step. They can be claimed from Next
	// on, at once when it is zero.
	Begin []core.Delivery
	// Cancel are the places of deliveries that end as cancelled if they wait.
	Cancel []string
	// Status of the firing: running, or how it ended.
	Status core.FiringStatus
}

// Journal keeps what the rules runner knows between restarts.
type Journal interface {
	// Load returns the cursor and all gate state.
	Load(ctx context.Context) (cursor int64, state map[string][]byte, err error)
	// Commit makes a turn durable in one transaction. A new firing gets the
	// waiting Deliveries that its flow begins with, or is final at once.
	Commit(ctx context.Context, t Turn) error
	// Cancel makes a firing that is not final cancelled, and its deliveries
	// that are not final too. It reports whether it was this call that did.
	Cancel(ctx context.Context, firing string, now time.Time) (bool, error)
	// Active lists the firings of a rule that are not final, oldest first; of
	// all rules when rule is empty.
	Active(ctx context.Context, rule string) ([]core.Firing, error)
	// Firing by id, or ErrNotFound.
	Firing(ctx context.Context, id string) (core.Firing, error)
}

// DecisionQuery selects decisions, newest first.
type DecisionQuery struct {
	Rule     string
	System   string // of this System and its assignments
	Verdicts []core.DecisionVerdict
	Before   int64 // id; 0: from the newest
	Limit    int   // at most 1,000; 0 is 100
}

// FiringQuery selects firings, newest first.
type FiringQuery struct {
	Rule   string
	Status []core.FiringStatus
	Before time.Time // created; zero: from the newest
	Limit  int       // at most 1,000; 0 is 100
}

// Trace answers what rules decided and did.
type Trace interface {
	Decisions(ctx context.Context, q DecisionQuery) ([]core.Decision, error)
	Firings(ctx context.Context, q FiringQuery) ([]core.Firing, error)
	// Deliveries of a firing in the order in which they began; of all firings,
	// newest first, when firing is empty.
	Deliveries(ctx context.Context, firing string, status []core.DeliveryStatus, limit int) ([]core.Delivery, error)
}

// Claimed is a Delivery that this process may carry out until the claim ends.
type Claimed struct {
	core.Delivery
	Token  string // proves the claim
	Firing core.Firing
	Steps  []core.Delivery // all of the firing that have begun, in that order
}

// Queue hands out deliveries. A delivery can be claimed when it waits, its time
// has come, and its firing is not final; or when the claim of another process
// ran out. Which deliveries there are is decided by a Flow. Instants are by one
// clock, whoever calls: where nodes share a database, by that of the database.
type Queue interface {
	// Claim takes up to limit deliveries until now + lease, and counts the
	// attempt: Attempts of what it returns includes this one. A firing whose
	// first delivery is claimed becomes running.
	Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]Claimed, error)
	// Extend moves the end of a claim; ErrConflict when it is no longer ours
	// or was cancelled.
	Extend(ctx context.Context, id int64, token string, until time.Time) error
	// Finish ends a claim with the delivery's new Status, Error, Output and,
	// when it waits again, Next, and does what follows from that. ErrConflict
	// when the claim is not ours any more. Attempts is stored when it is lower
	// than Claim counted: a claim that is given back untried is not an attempt.
	// A step that waits for something of a subject that has moved since Claim
	// can be claimed again at once.
	Finish(ctx context.Context, d core.Delivery, token string, now time.Time, flow Flow) error
	// Resend makes a dead delivery wait again, with its attempts forgotten and
	// the same key, and its firing run again, and does what follows from that.
	// ErrConflict when it is not dead or its firing was cancelled.
	Resend(ctx context.Context, id int64, now time.Time, flow Flow) error
	// Next is when the next delivery can be claimed, zero when none waits.
	Next(ctx context.Context) (time.Time, error)
}

// Modules keeps uploaded modules.
type Modules interface {
	// PutModule stores a version with its file, and gives it the next Number
	// of its name. The very same again changes nothing; the answer is what is
	// stored. The same name and version with another digest is ErrConflict,
	// and so is a name whose other versions are of another kind.
	PutModule(ctx context.Context, m core.Module, file []byte) (core.Module, error)
	// Modules lists every version, by name, newest first.
	Modules(ctx context.Context) ([]core.Module, error)
	// ModuleFile by digest, or ErrNotFound.
	ModuleFile(ctx context.Context, digest string) ([]byte, error)
	// GrantModule notes what a version was granted, by whom and when.
	GrantModule(ctx context.Context, name, version string, grant core.Grant, by string, now time.Time) error
	// DeleteModule removes a version that its Release does not need, or the
	// only one, with everything that is kept of the name. ErrConflict says
	// what needs it.
	DeleteModule(ctx context.Context, name, version string) error
}

// Releases keeps which versions the names of modules mean. A name has one as
// long as it has a version.
type Releases interface {
	// Releases of all names, in order of name.
	Releases(ctx context.Context) ([]core.Release, error)
	// Release of a name, or ErrNotFound.
	Release(ctx context.Context, name string) (core.Release, error)
	// PutRelease stores a changed Release whose Revision is the one that was
	// read, and counts it up. ErrConflict when somebody else was faster,
	// ErrNotFound when it names a version that is not stored.
	PutRelease(ctx context.Context, r core.Release) error
}

// Values keeps what modules remember between runs. A scope is the name of a
// module, or that, "/" and the id of an assignment. Values of an assignment go
// with it, those of a module with its last version.
type Values interface {
	Value(ctx context.Context, scope, key string) (value string, found bool, err error)
	// SetValue stores a value, or forgets it when value is nil. Nothing is
	// changed and ok is false when the keys and values of the scope would take
	// more than most bytes. It returns how much they take. An assignment that
	// does not exist is ErrNotFound.
	SetValue(ctx context.Context, scope, key string, value *string, most int64) (used int64, ok bool, err error)
	// ValuesSize is what each module keeps in all scopes, in bytes.
	ValuesSize(ctx context.Context) (map[string]int64, error)
}

// Recordings answers with what Ledger.Record stored of a run to repeat it.
type Recordings interface {
	// Recording of a step of a run, or ErrNotFound. A backend keeps a bounded
	// number for each assignment, the newest; they go with their run at last.
	Recording(ctx context.Context, run int64, step string) (core.Recording, error)
}

// Session is one browser or tool that was let in.
type Session struct {
	Hash    []byte // sha256 of the secret it carries
	Kind    string // "link" (usable once), "session", "token"
	User    string
	Role    string // viewer, operator, editor, admin
	Created time.Time
	Expires time.Time // zero: never
	Used    time.Time
}

// Sessions keeps who was let in.
type Sessions interface {
	PutSession(ctx context.Context, s Session) error
	// Session by hash, or ErrNotFound; neither an expired one nor a link is
	// found.
	Session(ctx context.Context, hash []byte, now time.Time) (Session, error)
	// TakeLink removes a link and returns it: only one caller can. ErrNotFound
	// when it was used, is expired or never was.
	TakeLink(ctx context.Context, hash []byte, now time.Time) (Session, error)
	// EndSession forgets a session.
	EndSession(ctx context.Context, hash []byte) error
	// Touch notes that a session was used and moves its expiry.
	Touch(ctx context.Context, hash []byte, used, expires time.Time) error
}

// Secrets keeps sealed values; only core/secret can open them.
type Secrets interface {
	PutSecret(ctx context.Context, name string, sealed []byte, by string, now time.Time) error
	// Secret by name, or ErrNotFound.
	Secret(ctx context.Context, name string) ([]byte, error)
	SecretNames(ctx context.Context) ([]string, error)
	DeleteSecret(ctx context.Context, name string) error
}
