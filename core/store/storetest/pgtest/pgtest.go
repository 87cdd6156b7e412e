// Package pgtest starts a Postgres server for tests and benches from installed
// binaries, and stops it.
//
// The server has a data directory of its own and listens on a Unix socket in
// it. Root cannot run Postgres: then it runs as the user postgres or nobody. It
// ends with [Server.Stop], and when the process that started it ends, however
// that happens.
package pgtest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// ErrMissing is of a machine without Postgres.
var ErrMissing = errors.New("initdb and postgres were not found in PATH nor in /usr/lib/postgresql; install the package postgresql")

// superuser is the one of the server.
const superuser = "tocsin"

// Server is a running Postgres.
type Server struct {
	dir   string // holds the data, the socket and the log
	bin   string
	fsync bool
	cmd   *exec.Cmd
	leash io.Closer // closing it stops the server
}

// Options of a [Server]. Zero is ready for use.
type Options struct {
	// Fsync makes what was committed survive a crash of the machine. Default
	// false, which is faster.
	Fsync bool
}

// Start makes a server and waits until it takes connections. The error is
// [ErrMissing] where there is no Postgres.
func Start(o Options) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin, fsync: o.Fsync}
	if err := s.make(); err != nil {
		return nil, errors.Join(fmt.Errorf("start Postgres: %w", err), s.Stop())
	}
	return s, nil
}

// skipper is a testing.TB: what benches are built of needs no package testing.
type skipper interface {
	Helper()
	Skip(args ...any)
	Fatal(args ...any)
}

// Skip ends tb because of an error of [Start]: where there is no Postgres it
// is skipped, unless everything must be there.
func Skip(tb skipper, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) && os.Getenv("CI") == "" { //nolint:forbidigo // where everything must be there, a test does not skip
		tb.Skip(err)
	}
	tb.Fatal(err)
}

func (s *Server) make() error {
	if err := own(s.dir); err != nil {
		return err
	}
	out, err := s.command("initdb", "-D", s.data(), "-U", superuser, "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return s.Start()
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command runs a binary of Postgres, as a user that may.
func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...) //nolint:gosec,noctx // installed binaries; it outlives no test
	cmd.Dir = s.dir
	as(cmd)
	return cmd
}

// Start starts the server again after [Server.Halt].
func (s *Server) Start() error {
	settings := []string{
		"listen_addresses=", "unix_socket_directories=" + s.dir, "max_connections=200", "shared_buffers=128MB", "max_wal_size=2GB",
		"log_destination=stderr", "logging_collector=off", "autovacuum_naptime=10s",
	}
	if !s.fsync {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	// The shell stops the server when nobody holds the other end of its input.
	script := `exec 3<&0; "$0" "$@" </dev/null 3<&- & pid=$!; (cat <&3 >/dev/null; kill -INT $pid 2>/dev/null) & wait $pid`
	args := []string{"-c", script, filepath.Join(s.bin, "postgres"), "-D", s.data()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                       //nolint:errcheck // the server holds its own
	cmd := exec.Command("/bin/sh", args...) //nolint:gosec,noctx // a fixed script; it outlives no test
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	as(cmd)
	if s.leash, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd = cmd
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		err := s.command("pg_isready", "-q", "-h", s.dir).Run()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return fmt.Errorf("it takes no connections within a minute: %w\n%s", err, text)
		}
	}
}

// Halt stops the server at once, as a crash would, and keeps its data.
func (s *Server) Halt() error {
	if s.cmd == nil {
		return nil
	}
	out, err := s.command("pg_ctl", "stop", "-D", s.data(), "-m", "immediate").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("stop Postgres: %w\n%s", err, out)
	}
	return errors.Join(err, s.wait())
}

func (s *Server) wait() error {
	err := s.leash.Close()
	_ = s.cmd.Wait() // how it ended is of no interest
	s.cmd = nil
	return err
}

// Stop stops the server and removes its data.
func (s *Server) Stop() error {
	var err error
	if s.cmd != nil {
		err = s.wait()
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// Create makes a database, unless it exists.
func (s *Server) Create(database string) error { return Create(s.dir, database) }

// URL names a database of the server.
func (s *Server) URL(database string) string { return URL(s.dir, database) }

// Dir is where the server keeps its socket, for processes that a test starts.
func (s *Server) Dir() string { return s.dir }

// Bin is the directory of the binaries.
func (s *Server) Bin() string { return s.bin }

// URL names a database of the server with its socket in dir.
func URL(dir, database string) string {
	return fmt.Sprintf("postgres://%s@/%s?host=%s", superuser, database, dir)
}

// Create makes a database of the server with its socket in dir, unless it
// exists.
func Create(dir, database string) error {
	bin, err := find()
	if err != nil {
		return err
	}
	out, err := exec.Command(filepath.Join(bin, "createdb"), "-h", dir, "-U", superuser, database).CombinedOutput() //nolint:gosec,noctx // an installed binary
	if err != nil && !bytes.Contains(out, []byte("already exists")) {
		return fmt.Errorf("createdb: %w\n%s", err, out)
	}
	return nil
}

// find is where the binaries of Postgres are, the newest first.
func find() (string, error) {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(dirs, func(a, b string) int { return strings.Compare(b, a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append([]string{filepath.Dir(path)}, dirs...)
		}
	}
	for _, dir := range dirs {
		if !slices.ContainsFunc([]string{"initdb", "postgres", "createdb", "pg_ctl", "pg_isready"}, func(name string) bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err != nil
		}) {
			return dir, nil
		}
	}
	return "", ErrMissing
}
