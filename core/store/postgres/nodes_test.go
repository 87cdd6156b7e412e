package postgres_test

import (
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/storetest"
)

func TestNodes(t *testing.T) {
	storetest.RunNodes(t, func(t *testing.T, dir, node string) storetest.NodesBackend {
		t.Helper()
		s, err := postgres.Open(t.Context(), database(t, dir), postgres.Options{Connections: 4, Node: node, Lease: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}
