package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/engine"
	"github.com/tocsin-io/tocsin/core/schedule"
)

func ExampleEngine() {
	hourly, err := schedule.Parse(schedule.Spec{Every: core.Duration(time.Hour), Key: "web-01:greet"})
	if err != nil {
		fmt.Println(err)
		return
	}
	var b book // stands for a store.Ledger
	e := engine.New(&b, slog.New(slog.DiscardHandler), engine.Options{})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()

	e.Sync([]engine.Task{{
		ID: "web-01:greet", Revision: "1", Schedule: hourly,
		Collect: func(_ context.Context, run *core.Run) { run.Summary = "hello" },
	}}, nil)
	for e.RunNow(ctx, "web-01:greet") != nil { // until Run has begun
		time.Sleep(time.Millisecond)
	}
	cancel()
	fmt.Println(<-done, b.of("web-01:greet")[0].Summary)
	// Output: <nil> hello
}
