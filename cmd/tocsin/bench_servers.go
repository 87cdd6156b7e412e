package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
)

// server is a process of this very program that a bench has started: `serve`
// with a data directory of its own, on a free port.
type server struct {
	*client
	data  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has
}

// startServer starts a server and waits until it serves. A wrapper is a command
// that runs another one, such as unshare.
func (b *bencher) startServer(data string, wrapper []string, args ...string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	line := append(append([]string{}, wrapper...), self, "serve", "--listen", "127.0.0.1:0", "--data", data)
	line = append(line, args...)
	s := &server{data: data, cmd: exec.CommandContext(b.ctx, line[0], line[1:]...), ended: make(chan struct{})} //nolint:gosec // this very program
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var trouble said
	s.cmd.Stderr = &trouble
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	serving := make(chan struct{})
	go func() {
		for lines, once := bufio.NewScanner(out), false; lines.Scan(); {
			if !once && strings.HasPrefix(lines.Text(), "listening on ") {
				once = true
				close(serving)
			}
		}
		_ = s.cmd.Wait() // how it ended is of no interest
		close(s.ended)
	}()
	select {
	case <-serving:
	case <-s.ended:
		return nil, fmt.Errorf("a server ended before it served:\n%s", trouble.String())
	case <-time.After(time.Minute):
		return nil, errors.Join(errors.New("a server did not serve within a minute"), s.kill())
	}
	f := serverFlags{data: data}
	if len(wrapper) > 0 { // it may see other files than we do
		f.data = filepath.Join("/proc", fmt.Sprint(s.cmd.Process.Pid), "root", data)
	}
	if s.client, err = f.client(); err != nil {
		return nil, errors.Join(err, s.kill())
	}
	return s, nil
}

// said keeps the newest that a process has said.
type said struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *said) Write(p []byte) (int, error) {
	const most = 64 << 10
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.text.Len()+len(p) > most {
		s.text.Reset()
	}
	return s.text.Write(p)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// kill ends it at once, as a crash does, and waits until it is gone.
func (s *server) kill() error {
	err := s.cmd.Process.Kill()
	<-s.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// apply sends manifests.
func (s *server) apply(ctx context.Context, manifests string) error {
	return s.do(ctx, http.MethodPost, "/api/v1/apply", "application/yaml", strings.NewReader(manifests), nil)
}

// figures are what the server has on /metrics, by name with labels.
func (s *server) figures(ctx context.Context) (map[string]float64, error) {
	var text []byte
	if err := s.do(ctx, http.MethodGet, "/metrics", "", nil, &text); err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		var value float64
		name, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := fmt.Sscan(rest, &value); err == nil && name != "#" {
			out[name] = value
		}
	}
	return out, nil
}

// postgres is where a bench may keep what it likes: the database of --database,
// which must hold nothing, or one of a server of its own, which end stops. The
// server is nil when it is not ours.
func (b *bencher) postgres() (url string, own *pgtest.Server, end func(), err error) {
	if b.database != "" {
		db, err := postgres.Open(b.ctx, b.database, postgres.Options{Node: "bench", Aside: true})
		if err != nil {
			return "", nil, nil, err
		}
		defer db.Close() //nolint:errcheck // it only reads
		objects, _, err := db.Objects(b.ctx)
		if err == nil && len(objects) > 0 {
			err = usageError{fmt.Errorf("--database: it holds %d systems, checks and rules; a bench needs an empty database for each size", len(objects))}
		}
		return b.database, nil, func() {}, err
	}
	own, err = pgtest.Start(pgtest.Options{Fsync: true})
	if err != nil {
		return "", nil, nil, err
	}
	end = func() { _ = own.Stop() } // nothing of it is kept
	if err := own.Create("bench"); err != nil {
		end()
		return "", nil, nil, err
	}
	return own.URL("bench"), own, end, nil
}

// until asks again and again until ok, and fails with what it waited for.
func (b *bencher) until(what string, ok func() (bool, error)) error {
	for deadline := time.Now().Add(patient); ; {
		is, err := ok()
		if is {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not within %v: %s", patient, what), err)
		}
		select {
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// outside is what the servers of a bench check and call: up or down as it is
// told, and a receiver of webhooks.
type outside struct {
	url  string
	down atomic.Bool

	mu    sync.Mutex
	hooks map[string]int // webhooks by idempotency key; guarded by mu
}

// openOutside serves on loopback until what it returns is called.
func (b *bencher) openOutside() (*outside, func(), error) {
	listener, err := listen(b.ctx)
	if err != nil {
		return nil, nil, err
	}
	o := &outside{url: "http://" + listener.Addr().String(), hooks: map[string]int{}}
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: o}
	go func() { _ = server.Serve(listener) }() // it ends with Close
	return o, func() { _ = server.Close() }, nil
}

// ServeHTTP answers checks, and notes webhooks.
func (o *outside) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // what it says does not matter
	if r.Method == http.MethodPost {
		o.mu.Lock()
		o.hooks[r.Header.Get("Idempotency-Key")]++
		o.mu.Unlock()
		return
	}
	if o.down.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// keys counts the different idempotency keys of webhooks.
func (o *outside) keys() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.hooks)
}

// history is all that is stored.
type history struct {
	runs    []core.Run
	log     []core.Transition
	firings []core.Firing // with steps: a recovery has none
}

// reads is what history is read of.
type reads interface {
	store.Log
	RunsAfter(ctx context.Context, id int64, limit int) ([]core.Run, int64, error)
	Firings(ctx context.Context, q store.FiringQuery) ([]core.Firing, error)
}

//nolint:gocognit // one read after another
func readHistory(ctx context.Context, db reads) (h history, err error) {
	const page = 1000
	for after, more := int64(0), true; more; {
		runs, _, err := db.RunsAfter(ctx, after, page)
		if err != nil {
			return h, err
		}
		if h.runs, more = append(h.runs, runs...), len(runs) == page; more {
			after = runs[len(runs)-1].ID
		}
	}
	for after, more := int64(0), true; more; {
		log, err := db.After(ctx, after, page)
		if err != nil {
			return h, err
		}
		if h.log, more = append(h.log, log...), len(log) == page; more {
			after = log[len(log)-1].Seq
		}
	}
	known := map[string]bool{}
	for q := (store.FiringQuery{Limit: page}); ; {
		firings, err := db.Firings(ctx, q)
		if err != nil {
			return h, err
		}
		before := len(known)
		for _, f := range firings {
			if !known[f.ID] && len(f.Steps) > 0 {
				h.firings = append(h.firings, f)
			}
			known[f.ID] = true
		}
		if len(known) == before {
			return h, nil
		}
		q.Before = firings[len(firings)-1].Created.Add(1) // others may be of the same instant
	}
}

// audit is what is wrong with a history: all of it should be 0.
type audit struct {
	doubled int // due times that were recorded more than once
	gaps    int // in Seq
	amiss   int // transitions that the runs give and the log has not, or the other way round
	found   []string
}

// find notes what is wrong, for as long as it helps.
func (a *audit) find(format string, args ...any) {
	if len(a.found) < 20 {
		a.found = append(a.found, fmt.Sprintf(format, args...))
	}
}

// examine holds the log to the runs, under the policy of all assignments.
//
//nolint:gocognit // one comparison after another
func (h history) examine(p core.Policy) (a audit) {
	type due struct {
		assignment string
		at         int64
	}
	seen := map[due]*core.Run{}
	moves := map[string][]core.Transition{}
	for i, c := range h.log {
		if c.Seq != int64(i+1) {
			a.gaps++
			a.find("entry %d of the log has seq %d", i+1, c.Seq)
		}
		if c.Subject.Kind == core.OfAssignment {
			moves[c.Subject.ID] = append(moves[c.Subject.ID], c)
		}
	}
	standings := map[string]core.Standing{}
	for i := range h.runs {
		r := &h.runs[i]
		if d := (due{r.Assignment, r.Due.UnixNano()}); !r.Manual {
			if first := seen[d]; first != nil {
				a.doubled++
				a.find("%s, due %v: run %d from %v and run %d from %v", r.Assignment, r.Due, first.ID, first.Started, r.ID, r.Started)
			}
			seen[d] = r
		}
		was, next := standings[r.Assignment], moves[r.Assignment]
		for len(next) > 0 && next[0].Cause == core.CauseStale && (next[0].At.Before(r.Ended) || len(next) > 1 && next[1].Run == r.ID) {
			was, next = core.Expire(was, next[0].At), next[1:]
		}
		now := core.Advance(was, p, r)
		if now.Health != was.Health {
			if len(next) > 0 && next[0].Run == r.ID && next[0].From == was.Health && next[0].To == now.Health {
				next = next[1:]
			} else {
				a.amiss++
				a.find("run %d takes %s from %v to %v, and the log does not say so next: %+v", r.ID, r.Assignment, was.Health, now.Health, next[:min(1, len(next))])
			}
		}
		standings[r.Assignment], moves[r.Assignment] = now, next
	}
	for _, left := range moves {
		for _, c := range left {
			if c.Cause == core.CauseRun {
				a.amiss++
				a.find("seq %d takes %v from %v to %v, and no run does", c.Seq, c.Subject, c.From, c.To)
			}
		}
	}
	return a
}

// percentile of values, by nearest rank; 0 when there are none.
func percentile(values []time.Duration, q float64) time.Duration {
	sorted := make([]int64, len(values))
	for i, v := range values {
		sorted[i] = int64(v)
	}
	slices.Sort(sorted)
	return time.Duration(quantile(sorted, q))
}
