package wasm_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// A rehearsal gives a module the answers of a test and reaches nothing.
func TestRehearse(t *testing.T) {
	m, _ := loaded(t, newHost(t, wasm.Options{}), build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution",
		"go", "build", "-buildmode=c-shared", "-o", "OUT", "../examples/collectors/queue-depth"))
	call := func(input, answer string) core.RecordedCall {
		return core.RecordedCall{Name: "http", Input: []byte(input), Answer: []byte(answer)}
	}
	full := call(`{"url": "http://queue/", "headers": {"Accept": "application/json"}}`, `{"status": 200, "body": "{\"depth\": 2000, \"consumers\": 1}"}`)
	for name, c := range map[string]struct {
		calls    []core.RecordedCall
		now      string
		outcome  core.Outcome
		summary  string
		diverged string
		unused   int
	}{
		"answered":        {[]core.RecordedCall{full}, "2026-03-01T00:00:00Z", core.Fail, "2000 messages wait, the most is 1000", "", 0},
		"any request":     {[]core.RecordedCall{call("", `{"error": {"code": "connect", "message": "refused"}}`)}, "", core.Fail, "refused (connect)", "", 0},
		"another request": {[]core.RecordedCall{call(`{"url": "http://other/"}`, `{}`)}, "", core.Error, "", "it asked http GET http://queue/, recorded was http GET http://other/", 1},
		"another header":  {[]core.RecordedCall{call(`{"headers": {"Accept": "text/plain"}}`, `{}`)}, "", core.Error, "", "it asked http GET http://queue/", 1},
		"no document":     {[]core.RecordedCall{call(`what`, `{}`)}, "", core.Error, "", "it asked http GET http://queue/", 1},
		"no answer":       {nil, "", core.Error, "", "it asked http GET http://queue/, and no more calls were recorded", 0},
		"unused":          {[]core.RecordedCall{full, full}, "", core.Fail, "2000 messages wait", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := m.Rehearse(within(t, 10*time.Second), wasm.Rehearsal{
				Request: abi.Request{Kind: abi.KindCollect, Now: c.now, Config: json.RawMessage(`{"url": "http://queue/"}`)}, Calls: c.calls,
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.Result.Outcome != c.outcome || !strings.Contains(got.Result.Summary, c.summary) || !strings.HasPrefix(got.Diverged, c.diverged) || (got.Diverged == "") != (c.diverged == "") || len(got.Unused) != c.unused {
				t.Errorf("Rehearse = %s %q, diverged %q, %d unused", got.Result.Outcome, got.Result.Summary, got.Diverged, len(got.Unused))
			}
		})
	}
	if _, err := m.Rehearse(t.Context(), wasm.Rehearsal{Request: abi.Request{Now: "noon"}}); err == nil || !strings.Contains(err.Error(), `now is "noon", not a time`) {
		t.Errorf("Rehearse at noon: %v", err)
	}
	acted, err := m.Rehearse(t.Context(), wasm.Rehearsal{Request: abi.Request{Kind: abi.KindAct}})
	if err != nil || acted.Acted.Outcome != core.Error || !strings.Contains(acted.Acted.Why, "it offers no action") {
		t.Errorf("Rehearse an action = %+v, %v", acted.Acted, err)
	}
}

// An action is rehearsed with the step that it is to carry out.
func TestRehearseAct(t *testing.T) {
	m, _ := loaded(t, newHost(t, wasm.Options{}), build(t, []string{"GOOS=wasip1", "GOARCH=wasm"}, "the Go distribution",
		"go", "build", "-buildmode=c-shared", "-o", "OUT", "../examples/modules/chat-action"))
	got, err := m.Rehearse(within(t, 10*time.Second), wasm.Rehearsal{
		Request: abi.Request{
			Kind: abi.KindAct, Step: &abi.Step{Key: "firing/tell", Attempt: 2},
			Config: json.RawMessage(`{"url": "https://chat/", "room": "ops", "text": "hello", "color": "red"}`),
		},
		Calls: []core.RecordedCall{{Name: "http", Input: []byte(`{"headers": {"Idempotency-Key": "firing/tell"}}`), Answer: []byte(`{"status": 200, "body": "m7"}`)}},
	})
	if err != nil || got.Acted.Outcome != core.Pass || got.Acted.Output["message"] != "m7" || got.Diverged != "" || len(got.Acted.Logs) != 1 {
		t.Errorf("Rehearse = %+v, %v", got, err)
	}
}
