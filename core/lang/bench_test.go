package lang_test

import (
	"testing"

	"github.com/tocsin-io/tocsin/core/lang"
)

// BenchmarkEval measures the predicate that all rule engines are compared by,
// next to the same by hand.
func BenchmarkEval(b *testing.B) {
	p := compile(b, `to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`, lang.Bool)
	e := example()
	eval := func(b *testing.B, env any) {
		b.Helper()
		if ok, err := p.Bool(env); !ok || err != nil {
			b.Fatalf("got %v, %v", ok, err)
		}
	}
	b.Run("go", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !byHand(&e) {
				b.Fatal("got false")
			}
		}
	})
	b.Run("pointer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			eval(b, &e)
		}
	})
	b.Run("value", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			eval(b, e)
		}
	})
	boxed := any(e)
	b.Run("boxed value", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			eval(b, boxed)
		}
	})
}

//go:noinline
func byHand(e *facts) bool {
	return e.To == "unhealthy" && e.System.Tags["env"] == "prod" && e.HealthyChecks < e.TotalChecks
}

func BenchmarkCompile(b *testing.B) {
	s := scope(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, bad := lang.Compile(s, `to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`, lang.Bool); len(bad) > 0 {
			b.Fatal(bad)
		}
	}
}

func BenchmarkExplain(b *testing.B) {
	p := compile(b, `to == "unhealthy" && system.tags.env == "prod" && healthy_checks < total_checks`, lang.Bool)
	e := example()
	b.ReportAllocs()
	for b.Loop() {
		if nodes := p.Explain(&e); len(nodes) != 8 {
			b.Fatalf("got %d nodes", len(nodes))
		}
	}
}
