package series_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ExampleBucket() {
	var hour, day series.Bucket
	for i := range 100 {
		hour.Add(&core.Run{Outcome: core.Pass, Latency: time.Duration(i+1) * time.Millisecond})
	}
	hour.Add(&core.Run{Outcome: core.Fail})
	day.Merge(&hour)
	day.Merge(&hour)
	fmt.Printf("%d runs, %d failed, median about %.0f ms\n", day.Asked(), day.Runs[core.Fail], day.Latency.Quantile(0.5)/1e6)
	// Output: 202 runs, 2 failed, median about 50 ms
}

// What is merged in whatever order and pieces is the same, to the byte, and
// tells quantiles within the promised accuracy.
func TestMergeOrder(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for _, of := range map[string]func() float64{
		"wide":     func() float64 { return math.Exp(random.Float64()*40 - 5) },
		"signed":   func() float64 { return random.NormFloat64() * 1e6 },
		"few":      func() float64 { return float64(random.IntN(3)) },
		"constant": func() float64 { return 42 },
	} {
		values := make([]float64, 5000)
		for i := range values {
			values[i] = of()
		}
		var all, tree series.Values
		for _, x := range values {
			all.Add(x)
		}
		shuffled := slices.Clone(values)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for part := range slices.Chunk(shuffled, 37) {
			var v series.Values
			for _, x := range part {
				v.Add(x)
			}
			stored, err := series.MakeValues(v.Count, v.Min, v.Max, v.Sum, v.Sketch())
			if err != nil {
				t.Fatal(err)
			}
			tree.Merge(&stored)
		}
		if tree.Count != all.Count || tree.Min != all.Min || tree.Max != all.Max || math.Abs(tree.Sum-all.Sum) > 1e-9*math.Abs(all.Sum)+1e-6 || !bytes.Equal(tree.Sketch(), all.Sketch()) {
			t.Errorf("merged is %+v, want %+v and the same sketch", tree, all)
		}
		slices.Sort(values)
		for share := 0.0; share <= 1; share += 0.01 {
			rank := int(share * float64(len(values)-1)) // the sketch may round it the other way
			least, most := values[max(rank-1, 0)], values[min(rank+1, len(values)-1)]
			slack := 1.001*series.Accuracy*max(math.Abs(least), math.Abs(most)) + 1e-9
			if got := tree.Quantile(share); got < least-slack || got > most+slack {
				t.Errorf("quantile %v is %v, want about %v", share, got, values[rank])
			}
		}
	}
}

func TestOddValues(t *testing.T) {
	t.Parallel()
	var v series.Values
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308} {
		v.Add(x)
	}
	if v.Count != 0 || !math.IsNaN(v.Quantile(0.5)) {
		t.Errorf("of what is no number there are %d, want none", v.Count)
	}
	for _, x := range []float64{0, 5e-324, -5e-324, 1e300, -1e300} {
		v.Add(x)
	}
	if v.Count != 5 || v.Quantile(0) != -1e300 || v.Quantile(1) != 1e300 || v.Quantile(0.5) != 0 {
		t.Errorf("of the extremes there are %d from %v to %v", v.Count, v.Quantile(0), v.Quantile(1))
	}
}

// A bucket holds a bounded number of samples, whatever a module makes up.
func TestManySamples(t *testing.T) {
	t.Parallel()
	var b series.Bucket
	samples := core.Samples{}
	for i := range 1000 {
		samples[fmt.Sprint(i)] = float64(i)
	}
	b.Add(&core.Run{Samples: samples})
	if len(b.Samples) != series.MostSamples {
		t.Errorf("the bucket holds %d samples, want %d", len(b.Samples), series.MostSamples)
	}
}

func TestChartSteps(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	ago := func(d time.Duration) map[series.Tier]time.Time {
		return map[series.Tier]time.Time{series.Minutes: noon.Add(-d), series.Hours: noon.Add(-30 * d)}
	}
	for name, test := range map[string]struct {
		span   time.Duration
		floors map[series.Tier]time.Time
		tier   series.Tier
		step   time.Duration
	}{
		"an hour":                {time.Hour, nil, series.Minutes, time.Minute},
		"a day":                  {day, nil, series.Minutes, 15 * time.Minute},
		"a week":                 {7 * day, nil, series.Hours, 2 * time.Hour},
		"a month":                {30 * day, nil, series.Hours, 6 * time.Hour},
		"a quarter":              {90 * day, nil, series.Days, day},
		"a year":                 {365 * day, nil, series.Days, 3 * day},
		"a century":              {36500 * day, nil, series.Days, 300 * day},
		"nothing":                {0, nil, series.Minutes, time.Minute},
		"minutes are kept":       {day, ago(3 * day), series.Minutes, 15 * time.Minute},
		"minutes are not kept":   {day, ago(12 * time.Hour), series.Hours, time.Hour},
		"hours are not kept":     {30 * day, ago(time.Hour), series.Days, day},
		"days are kept the less": {90 * day, map[series.Tier]time.Time{series.Days: noon.Add(-day)}, series.Hours, day},
		"nothing is kept":        {90 * day, map[series.Tier]time.Time{series.Days: noon.Add(-2 * day), series.Hours: noon.Add(-day), series.Minutes: noon}, series.Days, day},
	} {
		c := series.NewChart(noon.Add(-test.span), noon, 122, test.floors)
		if c.Tier != test.tier || c.Step != test.step {
			t.Errorf("%s: the chart is of %s in steps of %s, want %s in steps of %s", name, c.Tier, c.Step, test.tier, test.step)
		}
		first, past := c.Bounds()
		if begin := noon.Add(-test.span); c.From.After(begin) || first != c.From.UnixNano() || past <= noon.UnixNano() || c.From.UnixNano()%int64(c.Step) != 0 {
			t.Errorf("%s: the chart goes from %v to %v in steps of %s, want all from %v to %v at whole steps", name, c.From, time.Unix(0, past), c.Step, begin, noon)
		}
	}
}

// However runs come and whenever they are added up, in whatever pieces of the
// chain, each is added once.
func TestProgress(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		var p series.Progress
		newest := int64(0)
		added := map[int64]int{}
		for range 60 {
			newest += int64(random.IntN(5))
			begin, low := newest, max(p.Low, p.Top)
			if p.Next > 0 {
				begin, low = p.Next, p.Low
			}
			next := begin
			for n := 1 + random.IntN(4); n > 0 && next > low; n-- {
				added[next]++
				next--
			}
			if next <= low {
				next = 0
			}
			p = p.Came(begin, next)
			left := map[int64]bool{}
			for _, part := range p.Remaining(newest) {
				for id := part.Newest; id > part.Oldest; id-- {
					left[id] = true
				}
			}
			for id := int64(1); id <= newest; id++ {
				if added[id] > 1 || (added[id] == 1) == left[id] {
					t.Fatalf("run %d of %d was added %d times and is left: %v, at %+v", id, newest, added[id], left[id], p)
				}
			}
		}
	}
}

// The time in each health adds up to the time that passed, whatever comes late
// or from a clock that is wrong.
func TestWalk(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 8))
	for range 200 {
		d := series.NewDelta(series.Hours)
		var p series.Progress
		now, health := noon, core.Unknown
		for seq := range 40 {
			now = now.Add(time.Duration(random.IntN(200)) * time.Minute)
			to := core.Health(random.IntN(5))
			at := now.Add(-time.Duration(random.IntN(500)) * time.Minute)
			switch {
			case seq == 0:
				at = noon
			case random.IntN(20) == 0:
				at = at.Add(100 * 365 * 24 * time.Hour)
			}
			p = d.Walk(p, []core.Transition{{Seq: int64(seq), At: at, From: health, To: to}}, now)
			health = to
		}
		var sum time.Duration
		for place, b := range d.Buckets {
			hour := time.Duration(0)
			for h, spent := range b.Health {
				if hour += spent; spent < 0 || spent > time.Hour {
					t.Fatalf("in the hour at %d %v was spent %v", place.At, core.Health(h), spent)
				}
			}
			if sum += hour; hour > time.Hour {
				t.Fatalf("the hour at %d has %v", place.At, hour)
			}
		}
		if want := now.Sub(noon); sum != want || !p.Until.Equal(now) {
			t.Fatalf("%v is added up until %v, want %v until %v", sum, p.Until, want, now)
		}
	}
}

func FuzzMakeValues(f *testing.F) {
	var v series.Values
	for i := range 100 {
		v.Add(float64(i*i) - 50)
	}
	f.Add(v.Count, v.Min, v.Max, v.Sum, v.Sketch())
	f.Add(int64(3), 1.0, 1.0, 3.0, []byte(nil))
	f.Fuzz(func(t *testing.T, count int64, least, greatest, sum float64, sketch []byte) {
		v, err := series.MakeValues(count, least, greatest, sum, sketch)
		if err != nil {
			return
		}
		w := v
		v.Merge(&series.Values{Count: 1, Min: 1, Max: 1, Sum: 1})
		if v.Count != count+1 {
			t.Errorf("%d and one more are %d", count, v.Count)
		}
		if x := w.Quantile(0.5); x < least || x > greatest {
			t.Errorf("the median %v is not from %v to %v", x, least, greatest)
		}
	})
}
