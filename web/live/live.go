// Package live pushes health to browsers.
//
// A [Hub] follows the Log, the catalog and, while somebody looks at them, runs,
// decisions and firings in storage, and keeps the newest state of every System
// in memory. Browsers get a snapshot over HTTP ([Hub.Fleet]) and changes over a
// socket ([Hub.Serve]).
//
// State topics (fleet, rows) have no queue: a socket remembers the sequence
// number up to which it was told, and is sent the newest state of whatever
// changed since. However slow or long away it was, it gets fewer and newer
// states, in bounded memory, and ends up with exactly what a snapshot shows.
// Event topics (activity, system:ID, rule:ID) have a bounded queue; when it
// overflows, or what was missed is no longer at hand, the socket is told to
// fetch the topic over HTTP.
//
// The Hub reads what was committed and nothing waits for it: losing a hint
// costs latency and a slow browser costs only itself.
package live

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Deps is what a Hub reads. The storage roles must be set.
type Deps struct {
	Log     store.Log
	Catalog store.Catalog
	Ledger  store.Ledger
	History store.History
	Trace   store.Trace
	Logger  *slog.Logger

	// Next is when an Assignment is due; nil: not shown.
	Next func(assignment string) time.Time
	// Firing lists the Systems for which an episode of a rule is open; nil:
	// not shown.
	Firing func() map[string]bool
	// Select lists the ids of the systems that a selector picks; nil: those
	// that it names.
	Select func(sel core.Selector, systems []core.System) []string
	// Silences lists the ids of the systems that a silence is about, whatever
	// the rule; nil: those that it names.
	Silences func(s core.Silence, systems []core.System) []string
}

// Options of a Hub. Zero Options work.
type Options struct {
	// Build of the UI that browsers should run, told in welcome. Default none.
	Build string
	// Tick is the least time between two published states, and between two
	// frames to one browser. Default 100 ms.
	Tick time.Duration
	// Poll is how often what has no Transition (reasons, counts, problems) is
	// read anew while somebody watches; it is also read soon after a
	// Transition. Default 5 s.
	Poll time.Duration
	// Heartbeat is the time between heartbeat frames. Default 5 s.
	Heartbeat time.Duration
	// Hello is how long a socket has to say hello. Default 5 s.
	Hello time.Duration
	// WriteDeadline is how long a write may take; after three times as long
	// the socket is closed as too slow. Default 10 s.
	WriteDeadline time.Duration
	// Sessions is how often it is asked whether sessions are alive. Default 1 s.
	Sessions time.Duration
	// PerSession is how many sockets a session may have. Default 8.
	PerSession int
	// PerInstance is how many sockets there may be. Default 500.
	PerInstance int
	// Subs is how many subscriptions a socket may have. Default 64.
	Subs int
	// Queue is how many events wait for a slow browser, a subscription.
	// Default 512.
	Queue int
	// Origins are further origins, as scheme://host[:port], that may open a
	// socket. Default only the host that the request is for.
	Origins []string
}

// The bounds that no option changes.
const (
	MaxFrame = 64 << 10 // bytes of a frame from the browser
	MaxRows  = 200      // handles of one rows subscription
	maxHz    = 10
)

// withDefaults is o with every zero field filled in.
func (o Options) withDefaults() Options {
	or := func(field *time.Duration, value time.Duration) {
		if *field <= 0 {
			*field = value
		}
	}
	count := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	or(&o.Tick, 100*time.Millisecond)
	or(&o.Poll, 5*time.Second)
	or(&o.Heartbeat, 5*time.Second)
	or(&o.Hello, 5*time.Second)
	or(&o.WriteDeadline, 10*time.Second)
	or(&o.Sessions, time.Second)
	count(&o.PerSession, 8)
	count(&o.PerInstance, 500)
	count(&o.Subs, 64)
	count(&o.Queue, 512)
	return o
}

// Hub follows storage and fans it out to browsers. It is safe for concurrent
// use. Make one with [New] and let it [Hub.Run].
type Hub struct {
	d Deps
	o Options

	loaded chan struct{} // closed when the first state is there

	mu      sync.Mutex // guards what follows
	fleet   fleet
	events  events
	rows    rowSet
	clients map[*client]struct{}
	frames  map[frameKey]*frame // of the newest sequence numbers, shared by clients
	failing bool                // storage could not be read: no heartbeats
	asked   time.Time           // newest call of Fleet
	closing bool

	snap struct {
		sync.Mutex
		Snapshot
	}
	served sync.WaitGroup // sockets being served
}

// New is a Hub that has seen nothing yet.
func New(d Deps, o Options) *Hub {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	return &Hub{
		d: d, o: o.withDefaults(),
		loaded:  make(chan struct{}),
		fleet:   newFleet(rand.Text()[:12]),
		events:  newEvents(),
		rows:    newRowSet(),
		clients: map[*client]struct{}{},
		frames:  map[frameKey]*frame{},
	}
}

// Options are those the Hub works by, with the defaults filled in.
func (h *Hub) Options() Options { return h.o }

// Loaded is closed when the Hub has read the first state. Until then
// [Hub.Fleet] shows no Systems and sockets wait.
func (h *Hub) Loaded() <-chan struct{} { return h.loaded }

// Sockets is how many browsers are connected.
func (h *Hub) Sockets() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Run follows storage until ctx ends. Then it tells browsers that the server
// restarts, closes their sockets and returns when all are closed. A fault of
// the storage is logged and tried again; it does not end Run.
func (h *Hub) Run(ctx context.Context) error {
	f := newFollower(h)
	g, run := errgroup.WithContext(ctx)
	g.Go(func() error { return f.run(run) })
	g.Go(func() error { return f.watchLog(run) })
	g.Go(func() error { return f.watchCatalog(run) })
	g.Go(func() error { return h.watchSessions(run) })
	g.Go(func() error {
		<-run.Done()
		h.closeAll()
		return nil
	})
	err := g.Wait()
	h.served.Wait()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("follow storage: %w", err)
	}
	return nil
}
