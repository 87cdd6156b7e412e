package web

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"
)

type requestKey struct{}

// requestID names a request in the log and in problems.
func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// outer is what happens to every request: it gets an id, its body a bound, its
// answer the headers that keep browsers careful; it is logged, and a panic of
// a handler ends it alone.
func (s *server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := rand.Text()[:12]
		ctx := context.WithValue(r.Context(), requestKey{}, id)
		r = r.WithContext(ctx)
		r.Body = s.timely(w, r)
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		seen := &recorder{ResponseWriter: w}
		s.contain(next, seen, r)
		s.Logger.DebugContext(ctx, "request", slog.String("request", id), slog.String("method", r.Method),
			slog.String("path", r.URL.Path), slog.Int("status", seen.status), slog.Duration("took", time.Since(began)))
	})
}

// timely is the body of a request, bounded in size and in time. Whoever sends
// it too slowly loses the connection, also when no handler reads it: the server
// reads what is left of it before it takes the next request.
func (s *server) timely(w http.ResponseWriter, r *http.Request) io.ReadCloser {
	body := http.MaxBytesReader(w, r.Body, MaxModule+MaxBody)
	if r.ContentLength == 0 {
		return body
	}
	conn := http.NewResponseController(w)
	if err := conn.SetReadDeadline(time.Now().Add(s.o.BodyTimeout)); err != nil {
		return body // no connection of its own: a test, or HTTP/2, where streams cost little
	}
	return &timelyBody{body, conn}
}

// timelyBody lifts the deadline when the whole body has come: what the handler
// does with it may take longer.
type timelyBody struct {
	io.ReadCloser
	conn *http.ResponseController
}

// Read reads the body.
func (b *timelyBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if errors.Is(err, io.EOF) {
		_ = b.conn.SetReadDeadline(time.Time{}) // it worked when it was set
	}
	return n, err //nolint:wrapcheck // a pass-through
}

// contain keeps a panic of a handler from ending anything but its request.
func (s *server) contain(next http.Handler, w *recorder, r *http.Request) {
	defer func() {
		if cause := recover(); cause != nil {
			s.panicked(w, r, cause)
		}
	}()
	next.ServeHTTP(w, r)
}

// panicked answers for a handler that could not.
func (s *server) panicked(w *recorder, r *http.Request, cause any) {
	if err, ok := cause.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(cause)
	}
	s.Logger.ErrorContext(r.Context(), "panic in a request", slog.String("request", requestID(r.Context())),
		slog.Any("cause", cause), slog.String("stack", string(debug.Stack())))
	if w.status == 0 {
		s.refuse(w, r, failure(http.StatusInternalServerError, "something went wrong here; the log of the server has it under the id of this request"))
	}
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write writes, with status 200 when none was set.
func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b) //nolint:wrapcheck // a pass-through
}

// Unwrap is for [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Hijack hands the connection over to the socket.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, buf, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, fmt.Errorf("take over the connection: %w", err)
	}
	r.status = http.StatusSwitchingProtocols
	return conn, buf, nil
}

var _ http.Hijacker = (*recorder)(nil)
