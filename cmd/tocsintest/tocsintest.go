// Package tocsintest runs the real tocsin binary for tests: it builds it from
// source, starts it with a data directory of the test's own on a free port,
// talks to it as a person's tools would, and stops or kills it.
package tocsintest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startup is how long a server may take until it serves, on a busy machine.
const startup = 60 * time.Second

// Build compiles the binary into a directory of the test and returns its path.
// Tests of one package share it when they call it through a sync.OnceValue.
func Build(dir string) (string, error) {
	_, here, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("build tocsin: where its source is was not compiled in")
	}
	path := filepath.Join(dir, "tocsin")
	cmd := exec.Command("go", "build", "-o", path, "./cmd/tocsin") //nolint:gosec,noctx // a fixed command
	cmd.Dir = filepath.Dir(filepath.Dir(filepath.Dir(here)))       // tests of other modules build it too
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build tocsin: %w\n%s", err, out)
	}
	return path, nil
}

// Server is a running tocsin.
type Server struct {
	URL  string // http://127.0.0.1:port
	Link string // one-time sign-in link, as it was printed
	Data string // data directory

	tb     testing.TB
	binary string
	args   []string // of the test
	cmd    *exec.Cmd
	done   chan struct{} // closed when the process has ended
	err    error         // of the process; valid after done
	output *lines
	token  string
}

// lines keeps what the process printed.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Start runs `binary serve` with a data directory and waits until it serves,
// on a free port unless args say --listen. The process is stopped at the end of the test, and what it printed is logged
// when the test failed.
func Start(tb testing.TB, binary, data string, args ...string) *Server {
	tb.Helper()
	all := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...)
	cmd := exec.Command(binary, all...) //nolint:gosec,noctx // the binary of the test; it outlives no test
	s := &Server{Data: data, tb: tb, binary: binary, args: args, cmd: cmd, done: make(chan struct{}), output: &lines{}}
	cmd.Stderr = s.output
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		s.end()
		if tb.Failed() {
			tb.Logf("what the server printed:\n%s", s.output)
		}
	})
	serving := make(chan struct{})
	go s.read(stdout, serving)
	select {
	case <-serving:
	case <-s.done:
		tb.Fatalf("the server ended before it served: %v\n%s", s.err, s.output)
	case <-time.After(startup):
		tb.Fatalf("the server did not serve within %v\n%s", startup, s.output)
	}
	s.readEndpoint()
	return s
}

// Again starts another process over the same data, at the same address, so that
// who was connected to a process that ended finds its successor.
func (s *Server) Again() *Server {
	s.tb.Helper()
	at := []string{"--listen", strings.TrimPrefix(s.URL, "http://")}
	return Start(s.tb, s.binary, s.Data, append(at, s.args...)...)
}

// read follows standard output until it ends. What the process says of itself
// is taken until it serves; Link and URL do not change after that.
func (s *Server) read(stdout io.Reader, serving chan<- struct{}) {
	scan := bufio.NewScanner(stdout)
	scan.Buffer(nil, 1<<20)
	served := false
	for scan.Scan() {
		text := scan.Text()
		fmt.Fprintln(s.output, text)
		if served {
			continue
		}
		for word := range strings.FieldsSeq(text) {
			if strings.Contains(word, "/login?link=") {
				s.Link = word
			}
		}
		if url, ok := strings.CutPrefix(text, "listening on "); ok {
			s.URL = strings.TrimSpace(url)
			served = true
			close(serving)
		}
	}
	s.err = s.cmd.Wait()
	close(s.done)
}

func (s *Server) readEndpoint() {
	s.tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.Data, "endpoint.json"))
	if err != nil {
		s.tb.Fatalf("read the endpoint: %v", err)
	}
	var e struct {
		Token string `json:"token"`
	}
	if err := json.Unmarshal(text, &e); err != nil {
		s.tb.Fatalf("read the endpoint: %v", err)
	}
	s.token = e.Token
}

// end lets the process finish what it has begun, such as a module that is being
// compiled into the data directory, and kills it when that takes long.
func (s *Server) end() {
	s.Signal(syscall.SIGTERM) //nolint:errcheck,gosec // it may have ended already
	select {
	case <-s.done:
	case <-time.After(15 * time.Second):
		s.Kill()
	}
}

// Kill ends the process at once, as kill -9 does, and waits until it is gone.
func (s *Server) Kill() {
	s.cmd.Process.Kill() //nolint:errcheck,gosec // it may have ended already
	<-s.done
}

// Signal sends a signal to the process.
func (s *Server) Signal(sig syscall.Signal) error { return s.cmd.Process.Signal(sig) }

// Stop asks the process to end and waits; it returns how it ended.
func (s *Server) Stop() error {
	if err := s.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.done:
		return s.err
	case <-time.After(startup):
		return fmt.Errorf("the server did not stop within %v", startup)
	}
}

// Output is what the process printed so far.
func (s *Server) Output() string { return s.output.String() }

// Do asks the API and decodes the answer into out, unless out is nil. It
// returns the status and the body of the answer.
func (s *Server) Do(method, path string, body, out any) (int, string) {
	s.tb.Helper()
	var reader io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		reader, contentType = bytes.NewReader(b), "application/wasm"
	case string:
		reader, contentType = strings.NewReader(b), "application/yaml"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			s.tb.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startup)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.URL+path, reader)
	if err != nil {
		s.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.token)
	if reader != nil {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.tb.Fatalf("%s %s: %v", method, path, err)
	}
	if out != nil && resp.StatusCode < 300 {
		if err := json.Unmarshal(text, out); err != nil {
			s.tb.Fatalf("%s %s: %v\n%s", method, path, err, text)
		}
	}
	return resp.StatusCode, string(text)
}

// Apply sends manifests, which must be accepted.
func (s *Server) Apply(yaml string) {
	s.tb.Helper()
	if status, body := s.Do(http.MethodPost, "/api/v1/apply", yaml, nil); status != http.StatusOK {
		s.tb.Fatalf("apply: %d %s", status, body)
	}
}

// Token is an access token of an administrator.
func (s *Server) Token() string { return s.token }

// Until asks again and again until ok, and fails the test with what it was
// waiting for after a while.
func Until(tb testing.TB, within time.Duration, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(within); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", within, what)
		}
	}
}

// Hook is one request to a [Receiver].
type Hook struct {
	At   time.Time
	Key  string
	Body string
}

// Receiver takes webhooks. Answer may be replaced at any time.
type Receiver struct {
	mu     sync.Mutex
	hooks  []Hook        // guarded by mu
	status func(int) int // guarded by mu
}

// NewReceiver answers 204 to everything.
func NewReceiver() *Receiver { return &Receiver{status: func(int) int { return http.StatusNoContent }} }

// Answer sets the status of the answer to the nth request from now on, from 0.
// It may block, which keeps the sender waiting.
func (r *Receiver) Answer(status func(n int) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// Hooks lists what came.
func (r *Receiver) Hooks() []Hook {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Hook(nil), r.hooks...)
}

// ServeHTTP takes one webhook.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	n := len(r.hooks)
	r.hooks = append(r.hooks, Hook{At: time.Now(), Key: req.Header.Get("Idempotency-Key"), Body: string(body)})
	status := r.status
	r.mu.Unlock()
	w.WriteHeader(status(n))
}

// Target is an HTTP server that a test can break and mend.
type Target struct {
	mu   sync.Mutex
	down bool // guarded by mu
	hits int  // guarded by mu
}

// Set breaks or mends the target.
func (t *Target) Set(up bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = !up
}

// Hits counts requests.
func (t *Target) Hits() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hits
}

// ServeHTTP answers 200, or 503 when the target is broken.
func (t *Target) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	t.mu.Lock()
	t.hits++
	down := t.down
	t.mu.Unlock()
	if down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"status":"ok","depth":7,"consumers":2,"oldest_seconds":1}`) //nolint:errcheck,gosec // whoever hung up does not need it
}
