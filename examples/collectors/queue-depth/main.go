// Queue-depth is a collector that asks a queue how full it is.
//
// It fetches a JSON document {"depth", "consumers", "oldest_seconds"} from the
// URL in its configuration and holds it to the limits that are configured
// there. See README.md.
package main

import (
	"fmt"

	"github.com/tocsin-io/tocsin/wasm/abi"
	"github.com/tocsin-io/tocsin/wasm/guest"
)

// config is the configuration; its JSON schema is made of it.
type config struct {
	URL          string  `json:"url" format:"uri" doc:"where the queue reports {\"depth\", \"consumers\", \"oldest_seconds\"}"`
	WarnDepth    int64   `json:"warn_depth" default:"100" minimum:"0" doc:"warn when more messages wait"`
	FailDepth    int64   `json:"fail_depth" default:"1000" minimum:"0" doc:"fail when more messages wait"`
	MinConsumers int64   `json:"min_consumers" default:"1" minimum:"0" doc:"fail when fewer consumers are connected"`
	MaxAge       float64 `json:"max_age_seconds" default:"0" minimum:"0" doc:"fail when the oldest message waits longer; 0: never"`
}

// queue is what the queue reports.
type queue struct {
	Depth     *int64  `json:"depth"`
	Consumers int64   `json:"consumers"`
	Oldest    float64 `json:"oldest_seconds"`
}

func collector() guest.Collector {
	return guest.Collector{
		Name:    "queue-depth",
		Version: "1.0.0",
		Doc:     "How many messages wait in a queue, how many consumers take them, and how long the oldest has waited.",
		Author:  "Tocsin",
		Config:  config{},
		Samples: []abi.Sample{
			{Name: "depth", Type: "integer", Unit: "messages", Doc: "messages that wait"},
			{Name: "consumers", Type: "integer", Doc: "consumers that are connected"},
			{Name: "oldest_seconds", Type: "number", Unit: "s", Doc: "how long the oldest message has waited"},
		},
		Wants:   abi.Wants{HTTP: []string{"http://*:*", "https://*:*"}, Private: true},
		Collect: collect,
	}
}

func collect(run *guest.Run) guest.Result {
	var c config
	if err := run.Decode(&c); err != nil {
		return guest.Error(err)
	}
	var q queue
	if err := run.FetchJSON(c.URL, &q); err != nil {
		return guest.Unreached(err)
	}
	if q.Depth == nil {
		return guest.Fail(c.URL+" reports no depth", nil)
	}
	samples := guest.Samples{"depth": *q.Depth, "consumers": q.Consumers, "oldest_seconds": q.Oldest}
	switch {
	case q.Consumers < c.MinConsumers:
		return guest.Fail(fmt.Sprintf("%d consumers, at least %d are needed; %d messages wait", q.Consumers, c.MinConsumers, *q.Depth), samples)
	case *q.Depth > c.FailDepth:
		return guest.Fail(fmt.Sprintf("%d messages wait, the most is %d", *q.Depth, c.FailDepth), samples)
	case c.MaxAge > 0 && q.Oldest > c.MaxAge:
		return guest.Fail(fmt.Sprintf("the oldest message waits for %.0f s, the most is %.0f s", q.Oldest, c.MaxAge), samples)
	case *q.Depth > c.WarnDepth:
		return guest.Warn(fmt.Sprintf("%d messages wait, the warning is at %d", *q.Depth, c.WarnDepth), samples)
	}
	return guest.Pass(fmt.Sprintf("%d messages wait for %d consumers", *q.Depth, q.Consumers), samples)
}

func init() { guest.Register(collector()) } //nolint:gochecknoinits // nothing calls the main function of a reactor

func main() {}
