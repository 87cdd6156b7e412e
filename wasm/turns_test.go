package wasm_test

import (
	"context"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm"
)

// A guest that keeps a processor busy needs a turn, whether it computes itself
// or makes the host do it.
func TestTurns(t *testing.T) {
	for _, name := range []string{"inf_loop", "call_tree", "host_flood", "log_flood", "log_empty", "random_flood", "http_flood"} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, wasm.Options{})
			m := load(t, h, "hostile/"+name, core.Grant{Limits: core.Limits{Fuel: 100_000_000_000}})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			ended := make(chan core.Result, 1)
			go func() { ended <- m.Collect(ctx, someone, nil) }()
			for wasm.Taken(h) == 0 {
				select {
				case got := <-ended:
					t.Fatalf("it ended with %v and never had a turn", got.Why)
				case <-time.After(100 * time.Microsecond):
				}
			}
			cancel()
			<-ended
			if n := wasm.Taken(h); n != 0 {
				t.Errorf("%d turns are taken when it has ended", n)
			}
		})
	}
}
