package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "tocsin")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // nothing to be done about it

	ctx := context.Background()
	s, err := sqlite.Open(ctx, dir, sqlite.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close() //nolint:errcheck // nothing to be done about it

	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, err = s.Apply(ctx, store.Edit{Now: noon, Systems: core.Change{
		PutSystems:     []core.System{{ID: "web"}},
		PutAssignments: []core.Assignment{{ID: "web:http", System: "web", Check: "http", Enabled: true}},
	}})
	if err == nil {
		err = s.Record(ctx, []*core.Run{{Assignment: "web:http", Ended: noon, Outcome: core.Pass}})
	}
	changes, _ := s.After(ctx, 0, 10)
	for _, c := range changes {
		fmt.Println(c.Seq, c.Subject, c.From, c.To)
	}
	fmt.Println(err)
	// Output:
	// 1 assignment/web:http unknown healthy
	// 2 system/web unknown healthy
	// <nil>
}
