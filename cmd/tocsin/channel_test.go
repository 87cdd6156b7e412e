package main_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tocsin-io/tocsin/cmd/tocsintest"
)

// TestChannel applies a channel with a secret, tries it, and finds what it was
// sent; a rule cannot name a channel that is not there, nor can one in use go.
func TestChannel(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		got <- r.Header.Get("Authorization") + " " + string(text)
		if r.URL.Path == "/closed" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(hook.Close)
	server := tocsintest.Start(t, tocsin(t), t.TempDir())
	do := func(in string, args ...string) ran {
		t.Helper()
		return command{args: append(args, "--data", server.Data), in: in}.run(t)
	}
	if got := do("Bearer t0ken\n", "secret", "set", "chat"); got.code != 0 {
		t.Fatalf("set a secret: %+v", got)
	}
	dir := t.TempDir()
	manifest := func(url, rest string) string {
		return write(t, dir, "all.yaml", `apiVersion: tocsin/v1
kind: Channel
metadata: {name: oncall, title: On call}
spec:
  use: webhook
  with: {url: "`+url+`", headers: {Authorization: {secret: chat}}, body: {text: "${status}: ${title}"}}
`+rest)
	}
	rule := `---
apiVersion: tocsin/v1
kind: Rule
metadata: {name: page}
spec:
  on: health.unhealthy
  do:
    - if: to == "unhealthy"
      then: [{notify: {channel: CHANNEL, title: "${system.name} is ${to}"}}]
`
	if got := do("", "apply", "-f", manifest(hook.URL, strings.ReplaceAll(rule, "CHANNEL", "oncal"))); got.code != 1 || !strings.Contains(got.err, `there is no channel "oncal"; did you mean "oncall"?`) {
		t.Errorf("a rule that names no channel: %+v", got)
	}
	if got := do("", "apply", "-f", manifest(hook.URL, strings.ReplaceAll(rule, "CHANNEL", "oncall"))); got.code != 0 {
		t.Fatalf("apply: %+v", got)
	}
	do("", "get", "channels").wants(t, "list", 0, "ID      NAME     USES\noncall  On call  webhook\n", "")
	do("", "channel", "test", "oncall").wants(t, "try it", 0, "oncall took the message\n", "")
	if text := <-got; text != `Bearer t0ken {"text":"test: Test of the channel oncall"}` {
		t.Errorf("it was sent %s", text)
	}
	do("", "channel", "test", "none").wants(t, "one that is not there", 1, "", "tocsin: channel \"none\": read channel none: not found\n")
	if got := do("", "delete", "channel", "oncall"); got.code != 1 || !strings.Contains(got.err, `channel "oncall" cannot be deleted: rule "page" tells it`) {
		t.Errorf("delete what is in use: %+v", got)
	}
	if got := do("", "apply", "-f", manifest(hook.URL+"/closed", "")); got.code != 0 {
		t.Fatalf("apply: %+v", got)
	}
	do("", "channel", "test", "oncall").wants(t, "one that refuses", 1, "", "tocsin: the channel did not take it: the webhook answered 403 Forbidden\n")
}
