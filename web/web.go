// Package web is the HTTP face of Tocsin: the API with its OpenAPI
// description, sign-in, the live socket and the page of the UI.
//
// Every route stands in one table with the right that it needs ([Routes]); a
// route that is not in it is not served. Every error is problem+json with a
// sentence for people. Nothing but sign-in, the health of the process and the
// files of the UI is shown to anybody who is not signed in.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/plan"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

// ErrBusy is returned by [Engine] for an Assignment that is running already.
var ErrBusy = errors.New("it is running already")

// Deps is what the web needs. All must be set but UI, Demo, Examples, Nodes,
// Quarantined and Logger.
type Deps struct {
	Catalog  store.Catalog
	Ledger   store.Ledger
	Log      store.Log
	History  store.History
	Series   store.Series
	Trace    store.Trace
	Sessions store.Sessions
	Stored   store.Modules // uploaded files
	Releases store.Releases
	Values   store.Values

	Recordings store.Recordings

	Firings    Firings
	Deliveries Deliveries
	Saver      Saver
	Rules      Rules
	Judge      Judge
	Modules    Modules
	Engine     Engine
	Secrets    Secrets
	Hub        *live.Hub
	Logger     *slog.Logger

	// TestChannel sends a message to a channel at once, in somebody's name. The
	// error is for the person who asked. Nil: it cannot be done.
	TestChannel func(ctx context.Context, id, by string) error
	// Collectors lists the built-in collectors and the active modules.
	Collectors func() []core.CollectorInfo
	// Quarantined says of stored rules that do not run why; nil: all run.
	Quarantined func() map[string]core.Problems
	// Examples are modules that come with Tocsin, built, by name; nil: none.
	Examples map[string]func() ([]byte, error)
	// Nodes lists the processes that share the database; nil: this one is alone.
	Nodes func(ctx context.Context) ([]core.Node, error)
	// Node is how this process shares the work with others; nil: it is alone.
	Node func() NodeStats
	// Demo is the demo shop; nil: it does not run.
	Demo Demo
	// UI makes the handler of the pages; boot is what a page is told of the
	// caller. Default a plain page that names the API.
	UI func(boot func(*http.Request) any) http.Handler
}

// NodeStats is how a process does among those that share a database.
type NodeStats struct {
	Shards    int           // that it holds
	Rules     bool          // it runs them
	LeaseAge  time.Duration // since its leases were renewed
	TakenOver int64         // shares of others that were not heard of
}

// Firings cancels firings. store.Journal is one.
type Firings interface {
	Firing(ctx context.Context, id string) (core.Firing, error)
	Cancel(ctx context.Context, id string, now time.Time) (bool, error)
}

// Deliveries sends dead deliveries again. rules.Deliveries is one.
type Deliveries interface {
	Resend(ctx context.Context, id int64) error
}

// Saver validates and saves edits of what people wrote. plan.Service is one.
type Saver interface {
	// Apply makes the changes together or, with problems, not at all. The
	// error is store.ErrConflict when an object has not the version it should
	// have, and store.ErrNotFound when one to delete is not there.
	Apply(ctx context.Context, changes plan.Changes, o plan.ApplyOptions) ([]plan.Item, core.Problems, error)
}

// Rules says what rules mean and where they stand.
type Rules interface { //nolint:interfacebloat // what pages ask of rules
	// Validate reports what is wrong with a rule.
	Validate(r core.Rule, systems []core.System) core.Problems
	// Expr looks at one expression. Matches and Systems are filled when it is
	// a condition over systems.
	Expr(ctx context.Context, c wire.ExprCheck, systems []core.System) wire.ExprReport
	// Env is the environment of expressions at a place, see wire.ExprCheck; of
	// an assertion that of the collector it belongs to. The error is for
	// people.
	Env(where, collector string) (core.ExprEnv, error)
	// PreviewSilence says what a silence, which was checked, would come to.
	PreviewSilence(s core.Silence, systems []core.System, checks []core.Check, rules []core.Rule) core.SilencePreview
	// Describe says a gate in words, and writes its preset out.
	Describe(g core.Gate) (words string, full core.Gate)
	// States lists the partitions of a rule that are not at rest.
	States(rule string) []wire.RuleState
}

// Judge answers why rules decide as they do.
type Judge interface {
	// Explain says how a rule that is saved stands to a subject now. What it
	// decided before is left out.
	Explain(ctx context.Context, rule string, subject core.Subject) (core.Explanation, error)
	// Backtest plays the stored changes through a rule and, unless it is nil,
	// through the saved one. Problems are of the rule that was sent.
	Backtest(ctx context.Context, ask wire.BacktestAsk, saved *core.Rule) (core.Backtest, error)
}

// Modules looks at modules and runs them.
type Modules interface { //nolint:interfacebloat // all that pages do with modules
	// Inspect runs nothing but the file's own description, in the sandbox. The
	// error is for the person who uploaded it.
	Inspect(ctx context.Context, file []byte) (core.Manifest, error)
	// Test runs a module once. The error is for the person who asked.
	Test(ctx context.Context, m core.Module, file []byte, t wire.TestRun, rc core.RunContext) (wire.TestReport, error)
	// Script is the file of a script, with what its form says of it.
	Script(s wire.ScriptSource) ([]byte, error)
	// ScriptHelp is what scripts can use.
	ScriptHelp() wire.ScriptHelp
	// Replay repeats a recorded run in the sandbox, with the file of m. It
	// reaches nothing. The error is for the person who asked.
	Replay(ctx context.Context, m core.Module, file []byte, rec core.Recording) (wire.ReplayReport, error)
	// State is how a stored version does.
	State(name, version string) wire.ModuleState
	// Trials are what the canary of a module and its active version came to
	// since the canary began.
	Trials(name string) (canary, active core.Trial)
}

// Engine runs assignments.
type Engine interface {
	// RunNow runs an Assignment and returns when the run is stored. The error
	// is store.ErrNotFound for one that is not scheduled and ErrBusy for one
	// that is running.
	RunNow(ctx context.Context, assignment string) error
	// Next is when an Assignment is due, zero when it is not scheduled.
	Next(assignment string) time.Time
	Stats() wire.EngineStats
}

// Options of the web. Zero Options work.
type Options struct {
	// Version of Tocsin. Default "dev".
	Version string
	// Demo is told to the UI. Default false.
	Demo bool
	// Started is when the process began. Default now.
	Started time.Time
	// Origins are further origins, as scheme://host[:port], that may call the
	// API from a browser. Default none.
	Origins []string
	// Proxies are the addresses whose X-Forwarded-For and X-Forwarded-Proto
	// are believed. Default none.
	Proxies []netip.Prefix
	// Secure makes cookies secure whatever the request says, for a proxy that
	// ends TLS and says nothing. Default false.
	Secure bool
	// SignIns is how many sign-ins and wrong tokens a minute are answered, an
	// address. Default 20.
	SignIns int
	// TestTimeout is the most that a test run of a module may take. Default
	// 30 s.
	TestTimeout time.Duration
	// RunNowSlack is how long a request to run a check waits beyond the
	// check's timeout for the run to be stored. Default 10 s.
	RunNowSlack time.Duration
	// BodyTimeout is how long the body of a request may take to arrive.
	// Default 2 min.
	BodyTimeout time.Duration
}

// The limits of requests, in bytes.
const (
	MaxBody   = 1 << 20
	MaxApply  = 4 << 20
	MaxModule = 20 << 20
	maxPage   = 1000
)

func (o Options) withDefaults() Options {
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	if o.SignIns <= 0 {
		o.SignIns = 20
	}
	if o.TestTimeout <= 0 {
		o.TestTimeout = 30 * time.Second
	}
	if o.RunNowSlack <= 0 {
		o.RunNowSlack = 10 * time.Second
	}
	if o.BodyTimeout <= 0 {
		o.BodyTimeout = 2 * time.Minute
	}
	return o
}

// server holds what the handlers share.
type server struct {
	Deps
	o       Options
	catalog *catalog
	limiter *limiter
	router  *router
}

// New is the handler of everything that is served over HTTP. It fails when a
// route has no right or a right has no route.
func New(d Deps, o Options) (http.Handler, error) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	o = o.withDefaults()
	s := &server{Deps: d, o: o, catalog: &catalog{from: d.Catalog}, limiter: newLimiter(o.SignIns)}
	s.router = newRouter(s.guard)
	s.pages()
	s.api()
	if err := s.router.complete(); err != nil {
		return nil, fmt.Errorf("serve the web: %w", err)
	}
	cross := http.NewCrossOriginProtection()
	for _, origin := range o.Origins {
		if err := cross.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("trust the origin %q: %w", origin, err)
		}
	}
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, failure(http.StatusForbidden, "the request comes from a page of another site"))
	}))
	return s.outer(cross.Handler(s.router.mux)), nil
}
