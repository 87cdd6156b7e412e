package demo_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

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
	items, problems := manifest.Decode("demo.yaml", shop.Manifest())
	if len(problems) > 0 || len(items) < 13 {
		t.Errorf("the manifest has %d objects and these problems: %v", len(items), problems)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}
