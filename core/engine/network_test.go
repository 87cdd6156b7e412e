package engine_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
)

// get is a collector that asks a URL on a fresh connection.
func get(url string) func(context.Context, *core.Run) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return func(ctx context.Context, run *core.Run) {
		refuse := func(err error) { run.Outcome, run.Why = core.Fail, core.Because("net", "{err}", "err", err.Error()) }
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			refuse(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			refuse(err)
			return
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			refuse(err)
		}
	}
}

// hole listens and never answers.
func hole(tb testing.TB) string {
	tb.Helper()
	var config net.ListenConfig
	l, err := config.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return "http://" + l.Addr().String()
}

// TestIsolation: 20 % of real targets never answer, more of them than there are
// workers; the healthy ones lose under 5 % of their runs and are not late; and
// when all is over no goroutine is left. acceptance 10 and 14.
func TestIsolation(t *testing.T) {
	before := runtime.NumGoroutine()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }))
	black := hole(t)
	const n, span = 200, 6 * time.Second
	var b book
	e := engine.New(&b, quiet(), engine.Options{Workers: 16, SlowWorkers: 4})
	var tasks []engine.Task
	for i := range n {
		url := server.URL
		if i%5 == 0 {
			url = black
		}
		one := task(t, fmt.Sprintf("s%d:%s", i, url), time.Second, get(url))
		one.Timeout = 900 * time.Millisecond
		tasks = append(tasks, one)
	}
	e.Sync(tasks, nil)
	stop := run(t, e)
	time.Sleep(span)
	slow := e.Stats().Slow
	if err := stop(); err != nil {
		t.Error(err)
	}
	var lates []time.Duration
	for _, r := range b.runs {
		if strings.Contains(r.Assignment, black) {
			continue
		}
		if r.Outcome != core.Pass {
			t.Errorf("a healthy target failed: %s", r.Why)
		}
		lates = append(lates, r.Started.Sub(r.Due))
	}
	slices.Sort(lates)
	const want = n * 4 / 5 * int(span/time.Second)
	p99 := lates[len(lates)*99/100]
	t.Logf("%d of %d runs of healthy targets, p99 lateness %s, %d in the slow lane", len(lates), want, p99, slow)
	if len(lates) < want*95/100 {
		t.Errorf("healthy targets had %d runs, want at least 95 %% of %d", len(lates), want)
	}
	if p99 > time.Second { // alone on a machine it is a few milliseconds; a test must not fail for its neighbours
		t.Errorf("p99 lateness of healthy targets is %s, want less than their interval", p99)
	}
	if slow < n/5*9/10 {
		t.Errorf("%d assignments in the slow lane, want %d", slow, n/5)
	}
	server.Close()
	for range 50 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines are left of %d before", runtime.NumGoroutine(), before)
}
