// Command relay makes the calls that its configuration lists and answers with
// all that it saw: answers, clock, random numbers.
package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/guest"
)

// version is replaced by the linker to make another build.
var version = "1"

type config struct {
	Calls []struct {
		Name    string          `json:"name"`
		Request json.RawMessage `json:"request"`
	} `json:"calls"`
	Key   string `json:"key,omitempty"`
	Spin  bool   `json:"spin,omitempty"`
	Extra string `json:"extra,omitempty"`
}

func main() {}

func init() {
	guest.Register(guest.Collector{
		Name: "relay", Version: version, Config: config{}, Collect: collect,
		Wants: abi.Wants{
			HTTP: []string{"http://*:*"}, TCP: []string{"*:*"}, DNS: []string{"*"}, Private: true, KV: "assignment",
			Secrets: []string{"token", "other"}, Reveal: []string{"token"},
		},
	})
}

func collect(run *guest.Run) guest.Result {
	var c config
	if err := run.Decode(&c); err != nil {
		return guest.Error(err)
	}
	if version != "1" {
		run.Call("dns", json.RawMessage(`{"name":"newer.example","type":"A"}`))
	}
	answers := []json.RawMessage{}
	handle := ""
	for _, call := range c.Calls {
		request := strings.NewReplacer("$handle", handle, "$key", c.Key).Replace(string(call.Request))
		answer := run.Call(call.Name, json.RawMessage(request))
		var s abi.SecretResponse
		if json.Unmarshal(answer, &s) == nil && s.Handle != "" {
			handle = s.Handle
		}
		answers = append(answers, answer)
		run.Log(guest.LevelInfo, fmt.Sprintf("%s at %s", call.Name, run.Now()))
	}
	for c.Spin {
	}
	var b [8]byte
	run.Random(b[:])
	result := guest.Pass("relayed", nil)
	result.Detail = map[string]any{"answers": answers, "now": run.Now().UnixNano(), "random": fmt.Sprintf("%x", b), "key": c.Key}
	return result
}
