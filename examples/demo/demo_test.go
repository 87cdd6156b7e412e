package demo_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core/manifest"
	"github.com/tocsin-io/tocsin/examples/demo"
)

func TestShop(t *testing.T) {
	shop, err := demo.New()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- shop.Run(ctx) }()

	ask := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, shop.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", "k1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
	if status, body := ask("GET", "/payments", ""); status != 200 || !strings.Contains(body, `"ok"`) {
		t.Errorf("a target that is up answers %d %s", status, body)
	}
	if status, body := ask("POST", "/payments/break", ""); status != 200 || body != "payments is down\n" {
		t.Errorf("break: %d %q", status, body)
	}
	if status, _ := ask("GET", "/payments", ""); status != 503 {
		t.Errorf("a target that is down answers %d", status)
	}
	if status, body := ask("POST", "/paymnts/break", ""); status != 400 || !strings.Contains(body, "there are shop-web") {
		t.Errorf("break what is not there: %d %q", status, body)
	}
	if status, _ := ask("POST", "/hook", `{"a":1}`); status != 204 {
		t.Errorf("hook: %d", status)
	}
	if got := shop.Received(); len(got) != 1 || got[0].Key != "k1" || string(got[0].Body) != `{"a":1}` {
		t.Errorf("received %+v", got)
	}
	if status, body := ask("GET", "/", ""); status != 200 || !strings.Contains(body, "k1") || !strings.Contains(body, "payments") {
		t.Errorf("the page: %d\n%s", status, body)
	}
	if status, body := ask("GET", "/nothing", ""); status != 404 {
		t.Errorf("a target that is not there: %d %q", status, body)
	}
	if status, body := ask("POST", "/hook", `{"a":`); status != 400 || len(shop.Received()) != 1 {
		t.Errorf("a hook that is not JSON: %d %q", status, body)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, shop.URL()+"/queue/down", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if resp, err := http.DefaultClient.Do(req); err != nil {
		t.Error(err)
	} else if resp.Body.Close(); resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site broke the queue: %d", resp.StatusCode)
	}
	items, problems := manifest.Decode("demo.yaml", shop.Manifest())
	if len(problems) > 0 || len(items) < 13 {
		t.Errorf("the manifest has %d objects and these problems: %v", len(items), problems)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// TestDatabase asks the target that speaks TCP in each of its modes, and proves
// that Run ends at once even while it is slow.
func TestDatabase(t *testing.T) {
	shop, err := demo.New()
	if err != nil {
		t.Fatal(err)
	}
	if got := shop.Received(); got == nil || len(got) > 0 {
		t.Errorf("received %#v, want an empty list", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- shop.Run(ctx) }()
	targets := shop.Targets()
	address := strings.TrimPrefix(targets[len(targets)-1].URL, "tcp://")
	for _, tt := range []struct {
		mode demo.Mode
		want string
	}{{demo.Up, "READY\n"}, {demo.Down, ""}, {demo.Slow, "READY\n"}} {
		if err := shop.Set("database", tt.mode); err != nil {
			t.Fatal(err)
		}
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if tt.mode == demo.Slow {
			for shop.Targets()[len(targets)-1].Hits < 3 {
				time.Sleep(time.Millisecond) // until it has the connection
			}
			cancel()
		}
		text, err := io.ReadAll(conn)
		if err != nil || string(text) != tt.want {
			t.Errorf("a database that is %s says %q, %v, want %q", tt.mode, text, err, tt.want)
		}
		conn.Close()
	}
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	if err := shop.Set("database", "sideways"); err == nil || !strings.Contains(err.Error(), "write up, down, slow or flaky") {
		t.Errorf("a mode that is not there: %v", err)
	}
}
