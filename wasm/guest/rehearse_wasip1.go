package guest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"

	"github.com/tocsin-io/tocsin/wasm/abi"
)

// rehearse does once what every run does, so that it is done before the runs
// begin: they all begin in the state that this leaves, with the caches of
// encoding/json filled and the first memory of the heap in use. Without it each
// run would do that again, which costs five times as much as the rest of it.
// Collect is not called: it is free to remember what it is asked.
func (c Collector) rehearse() {
	run := &Run{host: nobody{}}
	if json.Unmarshal([]byte(rehearsal), &run.Request) != nil {
		return
	}
	if c.Config != nil {
		_ = run.Decode(reflect.New(reflect.TypeOf(c.Config)).Interface()) // a run that meets the error tells it
	}
	if len(c.Wants.HTTP) > 0 {
		_, _ = run.HTTP(abi.HTTPRequest{URL: "https://rehearsal.invalid/", Headers: map[string]string{"Accept": "application/json"}}) // it is denied
	}
	samples := Samples{"number": 1.5, "integer": 1, "text": "", "truth": true}
	_, _ = json.Marshal(Pass(fmt.Sprintf("%d of %.1f %s %v", 1, 1.5, "", true), samples)) // only the way there matters
}

const rehearsal = `{"abi":"tocsin/1","kind":"collect","config":{},"check":{"id":"c","name":"c","interval_seconds":1},` +
	`"system":{"id":"s","name":"s","tags":{"t":"t"}},"deadline_ms":1,"seed":1,"now":"2026-01-01T00:00:00Z"}`

// nobody is a host that grants nothing.
type nobody struct{}

var _ Host = nobody{}

func (nobody) Call(string, []byte) []byte {
	return []byte(`{"error":{"code":"denied","message":"a rehearsal"},"duration_ms":0}`)
}
func (nobody) Log(Level, string) {}
func (nobody) Now() time.Time    { return time.Time{} }
func (nobody) Random([]byte)     {}
