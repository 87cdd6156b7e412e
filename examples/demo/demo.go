// Package demo is a small shop to watch: seven services on loopback that a
// person can break and mend, a receiver for webhooks, and the Systems, Checks
// and Rules that go with them. `tocsin serve --demo` runs it.
package demo

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed demo.yaml
var manifest []byte

//go:embed page.html
var page string

// Mode is how a target behaves.
type Mode string

// The values of Mode.
const (
	Up    Mode = "up"    // answers well
	Down  Mode = "down"  // answers 503, or refuses connections
	Slow  Mode = "slow"  // answers after 600 to 900 ms
	Flaky Mode = "flaky" // up for 16 s, down for 16 s
)

// Modes lists every Mode.
func Modes() []Mode { return []Mode{Up, Down, Slow, Flaky} }

const flakyHalf = 16 * time.Second

// Target is one service of the shop.
type Target struct {
	System string `json:"system"`
	Mode   Mode   `json:"mode"`
	URL    string `json:"url"`
	Hits   int    `json:"hits"`
}

// Received is one request that came to the webhook receiver.
type Received struct {
	At   time.Time       `json:"at"`
	Key  string          `json:"idempotency_key"`
	Body json.RawMessage `json:"body"`
}

const keepReceived = 200

// Shop serves the targets. It is safe for concurrent use.
type Shop struct {
	listener net.Listener
	database net.Listener
	began    time.Time

	mu       sync.Mutex
	modes    map[string]Mode // guarded by mu, as all below
	hits     map[string]int
	received []Received
}

// services are the targets, the last one speaks plain TCP.
func services() []string {
	return []string{"shop-web", "shop-api", "search", "payments", "queue", "recommender", "database"}
}

// New listens on free loopback ports. Recommender begins flaky, so that there
// is something to see; the others are up.
func New() (*Shop, error) {
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}
	listener, err := net.ListenTCP("tcp", loopback)
	if err != nil {
		return nil, fmt.Errorf("listen for the demo: %w", err)
	}
	database, err := net.ListenTCP("tcp", loopback)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for the demo database: %w", err), listener.Close())
	}
	s := &Shop{listener: listener, database: database, began: time.Now(), modes: map[string]Mode{}, hits: map[string]int{}}
	for _, name := range services() {
		s.modes[name] = Up
	}
	s.modes["recommender"] = Flaky
	return s, nil
}

// URL is where the shop serves.
func (s *Shop) URL() string { return "http://" + s.listener.Addr().String() }

// Manifest is the Systems, Checks and Rules that watch this shop.
func (s *Shop) Manifest() []byte {
	_, port, _ := net.SplitHostPort(s.database.Addr().String())
	out := bytes.ReplaceAll(manifest, []byte("SHOP_URL"), []byte(s.URL()))
	out = bytes.ReplaceAll(out, []byte("SHOP_HOST"), []byte(s.listener.Addr().String()))
	return bytes.ReplaceAll(out, []byte("DATABASE"), []byte("127.0.0.1:"+port))
}

// Set changes how a target behaves.
func (s *Shop) Set(system string, mode Mode) error {
	if !slices.Contains(services(), system) {
		return fmt.Errorf("there is no demo target %q; there are %s", system, strings.Join(services(), ", "))
	}
	if !slices.Contains(Modes(), mode) {
		return fmt.Errorf("%q is not a mode; write up, down, slow or flaky", mode)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modes[system] = mode
	return nil
}

// Targets lists the services and how they behave.
func (s *Shop) Targets() []Target {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Target
	for _, name := range services() {
		url := s.URL() + "/" + name
		if name == "database" {
			url = "tcp://" + s.database.Addr().String()
		}
		out = append(out, Target{System: name, Mode: s.modes[name], URL: url, Hits: s.hits[name]})
	}
	return out
}

// Received lists what came to the webhook receiver, oldest first.
func (s *Shop) Received() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Received{}, s.received...) // not nil: an empty list in JSON
}

// Run serves until ctx ends, and returns when nothing of it runs any more.
func (s *Shop) Run(ctx context.Context) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	var wait sync.WaitGroup
	wait.Go(func() { s.serveDatabase(ctx, &wait) })
	var closed error
	wait.Go(func() {
		<-ctx.Done()
		closed = errors.Join(server.Close(), s.database.Close())
	})
	err := server.Serve(s.listener)
	end()
	wait.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return closed
	}
	return errors.Join(err, closed)
}

func (s *Shop) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.serveIndex)
	mux.HandleFunc("GET /{service}", s.serveTarget)
	mux.HandleFunc("GET /{service}/depth", s.serveDepth)
	mux.HandleFunc("POST /{service}/{mode}", s.serveSet)
	mux.HandleFunc("POST /hook", s.serveHook)
	mux.HandleFunc("GET /hook", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, s.Received()) })
	// Whoever browses elsewhere meanwhile does not break the shop.
	return http.NewCrossOriginProtection().Handler(mux)
}

// now is how a target behaves at this moment.
func (s *Shop) now(system string) (Mode, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode, ok := s.modes[system]
	if !ok {
		return "", false
	}
	s.hits[system]++
	if mode == Flaky {
		mode = Up
		if (time.Since(s.began)/flakyHalf)%2 == 1 {
			mode = Down
		}
	}
	return mode, true
}

// behave waits or fails as the mode says; it reports whether to go on.
func (s *Shop) behave(w http.ResponseWriter, r *http.Request) bool {
	mode, ok := s.now(r.PathValue("service"))
	switch {
	case !ok:
		http.NotFound(w, r)
		return false
	case mode == Down:
		http.Error(w, "the shop is closed", http.StatusServiceUnavailable)
		return false
	case mode == Slow:
		select {
		case <-r.Context().Done():
			return false
		case <-time.After(600*time.Millisecond + rand.N(300*time.Millisecond)): //nolint:gosec // not a secret
		}
	}
	return true
}

func (s *Shop) serveTarget(w http.ResponseWriter, r *http.Request) {
	if s.behave(w, r) {
		writeJSON(w, map[string]any{"service": r.PathValue("service"), "status": "ok", "version": "1.4.2", "orders_per_minute": 40 + rand.IntN(20)}) //nolint:gosec // not a secret
	}
}

// serveDepth answers what the queue-depth collector asks for.
func (s *Shop) serveDepth(w http.ResponseWriter, r *http.Request) {
	if s.behave(w, r) {
		writeJSON(w, map[string]any{"depth": 120 + rand.IntN(60), "consumers": 3, "oldest_seconds": rand.IntN(4)}) //nolint:gosec // not a secret
	}
}

func (s *Shop) serveSet(w http.ResponseWriter, r *http.Request) {
	mode := Mode(r.PathValue("mode"))
	if alias, ok := map[Mode]Mode{"break": Down, "mend": Up}[mode]; ok {
		mode = alias
	}
	if err := s.Set(r.PathValue("service"), mode); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "%s is %s\n", r.PathValue("service"), mode) //nolint:gosec // plain text, and both are names that Set knows
}

func (s *Shop) serveHook(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil || !json.Valid(body) {
		http.Error(w, "send JSON of at most 64 KiB", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = append(s.received, Received{At: time.Now().UTC(), Key: r.Header.Get("Idempotency-Key"), Body: body})
	if extra := len(s.received) - keepReceived; extra > 0 {
		s.received = slices.Delete(s.received, 0, extra)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Shop) serveIndex(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	t := template.Must(template.New("page").Parse(page))
	err := t.Execute(w, map[string]any{"Targets": s.Targets(), "Modes": Modes(), "Received": s.Received()})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// serveDatabase greets whoever connects, or hangs up without a word when it is
// down.
func (s *Shop) serveDatabase(ctx context.Context, wait *sync.WaitGroup) {
	for {
		conn, err := s.database.Accept()
		if err != nil {
			return
		}
		mode, _ := s.now("database")
		wait.Go(func() { greet(ctx, conn, mode) })
	}
}

func greet(ctx context.Context, conn net.Conn, mode Mode) {
	defer conn.Close()
	if mode == Down {
		return
	}
	if mode == Slow {
		select {
		case <-ctx.Done():
		case <-time.After(700 * time.Millisecond):
		}
	}
	io.WriteString(conn, "READY\n") //nolint:errcheck,gosec // whoever hung up does not need it
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) //nolint:errcheck,gosec // whoever hung up does not need it
}
