package live_test

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/live"
)

func systems(n int) []core.System {
	out := make([]core.System, n)
	for i := range out {
		out[i] = core.System{
			ID: fmt.Sprintf("sys-%05d", i), Groups: []string{"team-" + strconv.Itoa(i%20)},
			Tags: map[string]string{"env": []string{"prod", "stage"}[i%2], "region": "eu-" + strconv.Itoa(i%5)},
		}
	}
	return out
}

// BenchmarkSnapshot is live/snapshot: build and compress the whole fleet.
func BenchmarkSnapshot(b *testing.B) {
	for _, n := range []int{100, 1000, 10_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			build := live.BuildSnapshot(systems(n))
			var plain, compressed int
			for b.Loop() {
				plain, compressed = build()
			}
			b.ReportMetric(float64(plain), "bytes")
			b.ReportMetric(float64(compressed), "gzip-bytes")
		})
	}
}

// BenchmarkResume finds what changed since a sequence number, when nothing did.
func BenchmarkResume(b *testing.B) {
	changed := live.BuildDelta(systems(10_000))
	for b.Loop() {
		if n := changed(1); n != 0 {
			b.Fatal(n)
		}
	}
}
