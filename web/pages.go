package web

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/web/wire"
)

//go:embed page.html
var pageText string

// page is what page.html shows.
type page struct {
	Nonce, Title string
	Lines        []string
	Command      string
}

// pages registers what is not the API.
func (s *server) pages() {
	plain := template.Must(template.New("page").Parse(pageText))
	s.router.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { s.login(plain, w, r) })
	s.router.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	s.router.HandleFunc("GET /readyz", s.ready)
	s.router.HandleFunc("GET /metrics", s.metrics)
	s.router.HandleFunc("GET /api/live", s.socket)
	s.router.HandleFunc("/api/", s.missing)
	if s.UI != nil {
		s.router.Handle("/", s.UI(s.boot))
		return
	}
	s.router.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.show(plain, w, r, http.StatusOK, page{Title: "Tocsin", Lines: []string{
			"This build has no pages. The API is at /api/v1, its description at /api/openapi.json.",
		}})
	})
}

// Boot is what a page is told of who looks at it.
type Boot struct {
	Me      *wire.Me  `json:"me"`
	Version string    `json:"version"`
	Demo    bool      `json:"demo"`
	Started time.Time `json:"started"`
}

// boot tells a stranger nothing but that nobody is signed in.
func (s *server) boot(r *http.Request) any {
	b := Boot{}
	if c := who(r.Context()); c != nil {
		b = Boot{Me: &c.Me, Version: s.o.Version, Demo: s.o.Demo, Started: s.o.Started}
	}
	return b
}

// login lets in who brings a link. A browser that only looks ahead, and
// programs that look for a title, must not use the link up.
func (s *server) login(plain *template.Template, w http.ResponseWriter, r *http.Request) {
	ahead := r.Method == http.MethodHead || strings.HasPrefix(r.Header.Get("Sec-Purpose"), "prefetch")
	if r.URL.Query().Get("link") == "" || ahead {
		s.show(plain, w, r, http.StatusOK, page{Title: "Sign in", Lines: []string{
			"Open the link that the server printed when it started. It works once.",
			"To get a new one, run this on the machine of the server, or start the server anew:",
		}, Command: "tocsin login-link"})
		return
	}
	if !s.limiter.allow(s.address(r)) {
		w.Header().Set("Retry-After", "60")
		s.show(plain, w, r, http.StatusTooManyRequests, page{Title: "Too many tries", Lines: []string{"Wait a minute and open the link again."}})
		return
	}
	err := s.signIn(w, r)
	switch {
	case errors.Is(err, store.ErrNotFound):
		s.show(plain, w, r, http.StatusForbidden, page{Title: "This link does not work any more", Lines: []string{
			"A link works once, and for an hour.",
			"To get a new one, run this on the machine of the server, or start the server anew:",
		}, Command: "tocsin login-link"})
	case err != nil:
		s.Logger.ErrorContext(r.Context(), "sign in", slog.String("request", requestID(r.Context())), slog.Any("err", err))
		s.show(plain, w, r, http.StatusInternalServerError, page{Title: "Sign-in failed", Lines: []string{
			"Something went wrong here. The log of the server has it under the request " + requestID(r.Context()) + ".",
		}})
	default:
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}

// show writes a page that needs no script. The secret of a link stands in its
// address, so the address is told to nobody.
func (s *server) show(plain *template.Template, w http.ResponseWriter, r *http.Request, status int, p page) {
	p.Nonce = rand.Text()
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+p.Nonce+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if err := plain.Execute(w, p); err != nil {
		s.Logger.DebugContext(r.Context(), "show a page", slog.Any("err", err))
	}
}

// missing answers for what the API does not have: 405 when the path has other
// methods, else 404.
func (s *server) missing(w http.ResponseWriter, r *http.Request) {
	if methods := s.router.allowed(r); len(methods) > 0 {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		s.refuse(w, r, failure(http.StatusMethodNotAllowed, fmt.Sprintf("%s takes %s, not %s", r.URL.Path, strings.Join(methods, " and "), r.Method)))
		return
	}
	s.refuse(w, r, failure(http.StatusNotFound, "there is nothing at "+r.URL.Path))
}

// ready reports whether the process can do its work: the storage answers and
// takes results, and the live state is read.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if _, err := s.Log.Head(ctx); err != nil {
		s.Logger.WarnContext(r.Context(), "not ready", slog.Any("err", err))
		s.refuse(w, r, failure(http.StatusServiceUnavailable, "the storage does not answer"))
		return
	}
	if s.Engine.Stats().Error != "" { // a full disk can still be read; the engine has logged why
		s.refuse(w, r, failure(http.StatusServiceUnavailable, "the storage takes no results; they wait, and checking goes on"))
		return
	}
	select {
	case <-s.Hub.Loaded():
		_, _ = io.WriteString(w, "ready\n")
	default:
		s.refuse(w, r, failure(http.StatusServiceUnavailable, "the health of systems is being read"))
	}
}

// metrics writes figures in the text format of Prometheus.
func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	stats := s.Engine.Stats()
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP tocsin_%s %s\n# TYPE tocsin_%s %s\ntocsin_%s %g\n", name, help, name, kind, name, value)
	}
	metric("runs_total", "counter", "Runs recorded since start.", float64(stats.Runs))
	metric("runs_skipped_total", "counter", "Ticks passed over because the run before was not over.", float64(stats.Skipped))
	metric("runs_dropped_total", "counter", "Results dropped because storage was away too long, the oldest passing ones first.", float64(stats.Dropped))
	metric("runs_foreign_total", "counter", "Results not stored because their check was deleted, or another node ran it, by then.", float64(stats.Foreign))
	metric("runs_inflight", "gauge", "Runs under way.", float64(stats.Inflight))
	metric("runs_waiting", "gauge", "Runs that are due and wait for a worker.", float64(stats.Waiting))
	metric("runs_unstored", "gauge", "Runs that are done and wait for storage.", float64(stats.Unstored))
	metric("runs_buffer", "gauge", "How many runs may wait for storage before some are dropped.", float64(stats.Buffer))
	metric("lateness_p99_seconds", "gauge", "How late the latest runs started, 99th percentile.", stats.LateP99/1000)
	metric("storage_failing", "gauge", "1 while results cannot be stored.", map[bool]float64{true: 1}[stats.Error != ""])
	metric("live_sockets", "gauge", "Browsers connected.", float64(s.Hub.Sockets()))
	if s.Node != nil {
		n := s.Node()
		metric("node_shards", "gauge", "Shards of the systems that this node holds.", float64(n.Shards))
		metric("node_leads_rules", "gauge", "1 while this node runs the rules.", map[bool]float64{true: 1}[n.Rules])
		metric("node_lease_age_seconds", "gauge", "Time since this node has renewed its leases.", n.LeaseAge.Seconds())
		metric("node_takeovers_total", "counter", "Shards, and the rules, that this node has taken over from others that were not heard of.", float64(n.TakenOver))
	}
	// While storage is away the rest is what people need most.
	if head, err := s.Log.Head(r.Context()); err != nil {
		s.Logger.WarnContext(r.Context(), "read the head of the log", slog.Any("err", err))
	} else {
		metric("log_head", "counter", "Newest entry of the log of transitions.", float64(head))
	}
	if err := s.deliveryMetrics(r.Context(), &b); err != nil {
		s.Logger.WarnContext(r.Context(), "count deliveries", slog.Any("err", err))
	}
	s.healthMetrics(&b)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = io.WriteString(w, b.String())
}

// deliveryMetrics counts deliveries that are not done, up to a page of each.
func (s *server) deliveryMetrics(ctx context.Context, b *strings.Builder) error {
	var lines strings.Builder
	for _, status := range []core.DeliveryStatus{core.DeliveryWaiting, core.DeliveryRunning, core.DeliveryDead} {
		list, err := s.Trace.Deliveries(ctx, "", []core.DeliveryStatus{status}, maxPage)
		if err != nil {
			return fmt.Errorf("count deliveries: %w", err)
		}
		fmt.Fprintf(&lines, "tocsin_deliveries{status=%q} %d\n", status, len(list))
	}
	fmt.Fprintf(b, "# HELP tocsin_deliveries Deliveries by status, at most %d are counted.\n# TYPE tocsin_deliveries gauge\n%s", maxPage, lines.String())
	return nil
}

func (s *server) healthMetrics(b *strings.Builder) {
	b.WriteString("# HELP tocsin_systems Systems by health.\n# TYPE tocsin_systems gauge\n")
	for health, n := range s.Hub.Count() {
		fmt.Fprintf(b, "tocsin_systems{health=%q} %d\n", core.Health(health), n)
	}
}
