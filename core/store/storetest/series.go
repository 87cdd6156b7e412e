//nolint:thelper // tests, not helpers: a failure is told at its own line, a story in one piece
package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store"
)

func (s suite) series() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"series/roll up":      s.testRollUp,
		"series/late":         s.testLateRuns,
		"series/long chain":   s.testLongChain,
		"series/health":       s.testHealthTime,
		"series/no hole":      s.testNoHole,
		"series/by age":       s.testPruneTiers,
		"series/by size":      s.testPruneBySize,
		"series/beside":       s.testRollBeside,
		"series/removed":      s.testRollRemoved,
		"series/same in both": s.testSamples,
	}
}

// rollAll adds up everything.
func rollAll(t *testing.T, b Backend, now time.Time) {
	t.Helper()
	for more := true; more; {
		var err error
		more, err = b.RollUp(t.Context(), now)
		must(t, "roll up", err)
	}
}

// measured is a run of a second that took so long.
func measured(assignment string, at time.Time, o core.Outcome, took time.Duration) *core.Run {
	r := run(assignment, at, o)
	r.Latency = took
	return r
}

func chart(t *testing.T, b Backend, assignment string, from, to time.Time, points int) *series.Chart {
	t.Helper()
	c, err := b.Chart(t.Context(), store.ChartQuery{Assignment: assignment, From: from, To: to, Points: points})
	must(t, "chart", err)
	return c
}

// counts are the runs of each point of c by outcome.
func counts(c *series.Chart) [][4]int64 {
	out := make([][4]int64, len(c.Points))
	for i := range c.Points {
		out[i] = c.Points[i].Runs
	}
	return out
}

// wanted is what counts of a chart must be, computed from the runs themselves.
func wanted(c *series.Chart, runs []*core.Run, assignment string) (of [][4]int64, took [][]time.Duration) {
	of, took = make([][4]int64, len(c.Points)), make([][]time.Duration, len(c.Points))
	for _, r := range runs {
		i := int(r.Ended.Sub(c.From) / c.Step)
		if r.Assignment != assignment || r.Ended.Before(c.From) || i >= len(of) {
			continue
		}
		of[i][r.Outcome]++
		if r.Outcome != core.Error {
			took[i] = append(took[i], r.Latency)
		}
	}
	return of, took
}

// checkChart compares a chart of each tier with the runs.
func checkChart(t *testing.T, b Backend, runs []*core.Run, assignment string, from, to time.Time) {
	t.Helper()
	for tier, points := range map[series.Tier]int{
		series.Minutes: 1000, series.Hours: max(int(to.Sub(from)/time.Hour), 1), series.Days: 1,
	} {
		begin := from
		if tier == series.Days && to.Sub(from) < 24*time.Hour {
			begin = to.Add(-24 * time.Hour)
		}
		if tier == series.Hours && to.Sub(from) < time.Hour {
			begin = to.Add(-time.Hour)
		}
		c := chart(t, b, assignment, begin, to, points)
		if c.Tier != tier && tier != series.Minutes {
			t.Errorf("a chart with %d points from %v to %v is of %s, want %s", points, begin, to, c.Tier, tier)
		}
		of, took := wanted(c, runs, assignment)
		equal(t, fmt.Sprintf("runs of %s in steps of %s, of %s", assignment, c.Step, c.Tier), counts(c), of)
		for i := range took {
			checkQuantiles(t, &c.Points[i].Latency, took[i])
		}
	}
}

func checkQuantiles(t *testing.T, got *series.Values, values []time.Duration) {
	t.Helper()
	if got.Count != int64(len(values)) {
		t.Errorf("there are %d latencies, want %d", got.Count, len(values))
		return
	}
	slices.Sort(values)
	for _, share := range []float64{0, 0.5, 0.95, 1} {
		if len(values) == 0 {
			break
		}
		want := float64(values[int(share*float64(len(values)-1))])
		if x := got.Quantile(share); math.Abs(x-want) > 1.001*series.Accuracy*want {
			t.Errorf("of %d latencies the quantile %v is %v, want %v within 1%%", len(values), share, x, want)
		}
	}
}

// day is runs of three assignments over a day and a half, one a minute, with
// latencies from 1 to 1,000 ms.
func day(t *testing.T, b Backend) []*core.Run {
	t.Helper()
	watch(t, b, "web", "db")
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	var runs []*core.Run
	for i := range 36 * 60 {
		for _, id := range []string{"web:http", "web:tcp", "db:http"} {
			outcome := core.Pass
			if random.IntN(20) == 0 {
				outcome = core.Outcome(random.IntN(4)) //nolint:gosec // less than 4
			}
			runs = append(runs, measured(id, minute(i).Add(time.Duration(random.IntN(59))*time.Second), outcome, time.Duration(math.Exp(random.Float64()*math.Log(1000))*1e6)))
		}
	}
	return runs
}

// Buckets hold what the runs held, however they were added up: never, in the
// middle, all, again, and after a restart.
func (s suite) testRollUp(t *testing.T) {
	b, dir := s.freshIn(t)
	runs := day(t, b)
	half := len(runs) / 2
	end := minute(36 * 60)
	must(t, "record", b.Record(t.Context(), runs[:half]))
	checkChart(t, b, runs[:half], "web:http", minute(0), end)
	rollAll(t, b, minute(18*60))
	checkChart(t, b, runs[:half], "web:http", minute(0), end)
	must(t, "record", b.Record(t.Context(), runs[half:]))
	checkChart(t, b, runs, "web:http", minute(0), end)
	for range 2 {
		rollAll(t, b, end)
		checkChart(t, b, runs, "web:http", minute(0), end)
		checkChart(t, b, runs, "db:http", minute(0), end)
	}
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	rollAll(t, b, end)
	checkChart(t, b, runs, "web:tcp", minute(0), end)
	_, err := b.Chart(t.Context(), store.ChartQuery{Assignment: "no:such", From: minute(0), To: end})
	wantError(t, "chart of no assignment", err, store.ErrNotFound)
}

// A run that is recorded days after it ended is in the bucket of its time.
func (s suite) testLateRuns(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	var runs []*core.Run
	for i := range 300 {
		at := minute(i * 10)
		if i%3 == 2 {
			at = minute(i*10 - 1440)
		}
		r := measured("web:http", at, core.Pass, time.Duration(i+1)*time.Millisecond)
		must(t, "record", b.Record(t.Context(), []*core.Run{r}))
		runs = append(runs, r)
		if i%50 == 0 {
			rollAll(t, b, minute(i*10))
		}
	}
	from := minute(-1440)
	checkChart(t, b, runs, "web:http", from, minute(3000))
	rollAll(t, b, minute(3000))
	checkChart(t, b, runs, "web:http", from, minute(3000))
}

// More runs than one call adds up: what comes meanwhile is neither lost nor
// counted twice.
func (s suite) testLongChain(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	var runs []*core.Run
	more := func(n int) {
		batch := make([]*core.Run, n)
		for i := range batch {
			batch[i] = measured("web:http", minute(0).Add(time.Duration(len(runs)+i)*10*time.Second), core.Pass, time.Duration(1+i)*time.Millisecond)
		}
		must(t, "record", b.Record(t.Context(), batch))
		runs = append(runs, batch...)
	}
	more(9000)
	for calls := 1; ; calls++ {
		left, err := b.RollUp(t.Context(), minute(3000))
		must(t, "roll up", err)
		more(100)
		c := chart(t, b, "web:http", minute(0), minute(3000), 1000)
		if of, _ := wanted(c, runs, "web:http"); !slices.Equal(counts(c), of) {
			t.Fatalf("after %d calls the chart has %v runs, want %v", calls, c.Whole().Runs, len(runs))
		}
		if !left {
			if calls < 3 {
				t.Errorf("%d runs were added up in %d calls, want a bound on each", len(runs), calls)
			}
			break
		}
	}
	rollAll(t, b, minute(3000))
	checkChart(t, b, runs, "web:http", minute(0), minute(3000))
}

// The time in each health is right whether it comes from buckets or from
// changes, also when a change is recorded late.
func (s suite) testHealthTime(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	at := func(h, m int) time.Time { return minute(h*60 + m) }
	for _, r := range []*core.Run{
		run("web:http", at(0, 0), core.Pass),  // healthy
		run("web:http", at(2, 30), core.Fail), // degraded
		run("web:http", at(3, 0), core.Fail),  // unhealthy
	} {
		must(t, "record", b.Record(t.Context(), []*core.Run{r}))
	}
	check := func(what string, until time.Time, want [5]time.Duration) {
		t.Helper()
		for _, points := range []int{int(until.Sub(minute(0)) / time.Hour), 1000} {
			c := chart(t, b, "web:http", minute(0), until, points)
			if got := c.Whole().Health; got != want {
				t.Errorf("%s, of %s: time in each health is %v, want %v", what, c.Tier, got, want)
			}
		}
	}
	want := [5]time.Duration{core.Healthy: 150 * time.Minute, core.Degraded: 30 * time.Minute, core.Unhealthy: 2 * time.Hour}
	check("not added up", at(5, 0), want)
	rollAll(t, b, at(4, 0))
	check("added up in part", at(5, 0), want)
	must(t, "record", b.Record(t.Context(), []*core.Run{run("web:http", at(4, 45), core.Pass)}))
	rollAll(t, b, at(5, 0))
	want = [5]time.Duration{core.Healthy: 165 * time.Minute, core.Degraded: 30 * time.Minute, core.Unhealthy: 105 * time.Minute}
	check("added up", at(5, 0), want)
	// It was down from 5:10 on, which is recorded only at 6:00.
	rollAll(t, b, at(5, 0))
	must(t, "record", b.Record(t.Context(), []*core.Run{run("web:http", at(5, 5), core.Pass)}))
	rollAll(t, b, at(6, 0))
	must(t, "record", b.Record(t.Context(), []*core.Run{run("web:http", at(5, 10), core.Fail), run("web:http", at(5, 20), core.Fail)}))
	want = [5]time.Duration{core.Healthy: (165 + 10) * time.Minute, core.Degraded: 40 * time.Minute, core.Unhealthy: (105 + 40) * time.Minute}
	check("late", at(6, 0), want)
	rollAll(t, b, at(6, 0))
	check("late, added up", at(6, 0), want)
	c := chart(t, b, "web:http", minute(0), at(6, 0), 6)
	whole := c.Whole()
	if got := whole.Availability(); math.Abs(got-215.0/360) > 1e-9 {
		t.Errorf("availability is %v, want %v", got, 215.0/360)
	}
}

// Charts of any range have every run, wherever the buckets end and the runs
// begin, and when tiers and runs are deleted as far as they may.
func (s suite) testNoHole(t *testing.T) {
	b := s.fresh(t)
	runs := day(t, b)
	end := minute(36 * 60)
	must(t, "record", b.Record(t.Context(), runs[:len(runs)-600]))
	rollAll(t, b, end)
	must(t, "record", b.Record(t.Context(), runs[len(runs)-600:]))
	_, err := b.Prune(t.Context(), store.Keep{Now: end, Runs: store.Bound{Before: end.Add(-time.Hour)}, Minutes: store.Bound{Before: end.Add(-6 * time.Hour)}})
	must(t, "prune", err)
	for _, span := range []time.Duration{time.Hour, 5 * time.Hour, 7 * time.Hour, 24 * time.Hour, 35 * time.Hour} {
		for _, points := range []int{24, 120, 1000} {
			c := chart(t, b, "web:http", end.Add(-span), end, points)
			of, _ := wanted(c, runs, "web:http")
			equal(t, fmt.Sprintf("runs over %s in steps of %s, of %s", span, c.Step, c.Tier), counts(c), of)
			for i, n := range counts(c) {
				if at := c.From.Add(time.Duration(i) * c.Step); n == [4]int64{} && at.Add(c.Step).Before(end) {
					t.Errorf("over %s there is a hole at %v", span, at)
				}
			}
		}
	}
}

// What is added up goes by age, tier by tier, and nothing goes that is not
// added up.
func (s suite) testPruneTiers(t *testing.T) {
	b := s.fresh(t)
	runs := day(t, b)
	end := minute(36 * 60)
	must(t, "record", b.Record(t.Context(), runs))
	gone, err := b.Prune(t.Context(), store.Keep{Now: end, Runs: store.Bound{Before: end}})
	must(t, "prune", err)
	if left, _, err := b.RunsAfter(t.Context(), 0, 1000); err != nil || len(left) > 3 || gone < int64(len(runs)-3) {
		t.Errorf("%d runs are left and %d rows went (%v), want all %d gone", len(left), gone, err, len(runs))
	}
	checkChart(t, b, runs, "web:tcp", minute(0), end)
	for range 2 {
		_, err = b.Prune(t.Context(), store.Keep{Now: end, Minutes: store.Bound{Before: minute(24 * 60)}, Hours: store.Bound{Before: minute(12 * 60)}})
		must(t, "prune tiers", err)
	}
	if c := chart(t, b, "web:tcp", minute(25*60), end, 1000); c.Tier != series.Minutes {
		t.Errorf("a chart of what is kept in minutes is of %s", c.Tier)
	}
	if c := chart(t, b, "web:tcp", minute(13*60), end, 1000); c.Tier != series.Hours {
		t.Errorf("a chart that begins before the minutes is of %s, want hours", c.Tier)
	}
	c := chart(t, b, "web:tcp", minute(0), end, 1000)
	if c.Tier != series.Days {
		t.Errorf("a chart that begins before the hours is of %s, want days", c.Tier)
	}
	of, _ := wanted(c, runs, "web:tcp")
	equal(t, "runs by day", counts(c), of)
	// A run of long ago is still counted where there are buckets for it.
	late := run("web:tcp", minute(5), core.Fail)
	must(t, "record", b.Record(t.Context(), []*core.Run{late}))
	rollAll(t, b, end)
	c = chart(t, b, "web:tcp", minute(0), end, 1000)
	of, _ = wanted(c, append(runs, late), "web:tcp")
	equal(t, "runs by day with a late one", counts(c), of)
}

// Each tier and the runs can be bounded in size: the newest stay.
func (s suite) testPruneBySize(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	const n = 250_000
	runs := make([]*core.Run, 10_000)
	for from := 0; from < n; from += len(runs) {
		for i := range runs {
			runs[i] = measured([]string{"web:http", "web:tcp"}[i%2], minute(0).Add(time.Duration(from+i)*5*time.Second), core.Pass, time.Duration(i+1)*time.Microsecond)
		}
		must(t, "record", b.Record(t.Context(), runs))
	}
	end := runs[len(runs)-1].Ended
	rollAll(t, b, end)
	keep := store.Keep{Now: end, Runs: store.Bound{Bytes: 4 << 20}, Minutes: store.Bound{Bytes: 1 << 20}}
	_, err := b.Prune(t.Context(), keep)
	must(t, "prune", err)
	sizes, err := b.Sizes(t.Context())
	must(t, "sizes", err)
	if sum := sizes.Runs + sizes.Minutes + sizes.Hours + sizes.Days; sizes.Runs <= 0 || sizes.Minutes <= 0 || sizes.Hours <= 0 || sizes.Days <= 0 || sizes.Database < sum {
		t.Errorf("sizes are %+v, want some of each, and that the database holds all", sizes)
	}
	left, newest, err := b.RunsAfter(t.Context(), 0, 1)
	must(t, "runs", err)
	if len(left) != 1 || newest != n {
		t.Fatalf("left are %d runs up to %d, want the newest to be there", len(left), newest)
	}
	if kept := newest - left[0].ID; kept < 10_000 || kept > 160_000 {
		t.Errorf("in 4 MB %d of %d runs are kept", kept, n)
	}
	whole := end.Sub(minute(0))
	if c := chart(t, b, "web:http", end.Add(-2*time.Hour), end, 1000); c.Tier != series.Minutes {
		t.Errorf("the newest two hours are of %s, want that minutes are kept", c.Tier)
	}
	c := chart(t, b, "web:http", minute(0), end, int(whole/time.Minute)+1)
	if c.Tier != series.Hours {
		t.Errorf("the whole time is of %s, want that minutes are too many", c.Tier)
	}
	var sum int64
	for _, of := range counts(c) {
		sum += of[core.Pass]
	}
	if sum != n/2 {
		t.Errorf("hours hold %d runs, want all %d", sum, n/2)
	}
	again, err := b.Prune(t.Context(), keep)
	if err != nil || again > n/10 {
		t.Errorf("the same again took %d rows (%v), want that it fits already", again, err)
	}
}

// Recording, adding up, deleting and reading at the same time: each chart has
// every run that was recorded before it was asked for.
func (s suite) testRollBeside(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	end := make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case <-stop:
				end <- nil
				return
			default:
			}
			if _, err := b.RollUp(t.Context(), minute(5000)); err != nil {
				end <- err
				return
			}
			if _, err := b.Prune(t.Context(), store.Keep{Now: minute(5000), Runs: store.Bound{Before: minute(3000)}}); err != nil {
				end <- err
				return
			}
		}
	}()
	for i := range 150 {
		batch := make([]*core.Run, 20)
		for j := range batch {
			batch[j] = run("web:http", minute(i*20+j), core.Pass)
		}
		must(t, "record", b.Record(t.Context(), batch))
		if got := chart(t, b, "web:http", minute(0), minute(5000), 100).Whole().Runs[core.Pass]; got != int64(i+1)*20 {
			t.Fatalf("after %d runs the chart has %d", (i+1)*20, got)
		}
	}
	close(stop)
	must(t, "roll up beside", <-end)
}

// The history of what is watched no more stays, and goes on when it comes back.
func (s suite) testRollRemoved(t *testing.T) {
	b := s.fresh(t)
	watch(t, b, "web")
	runs := []*core.Run{run("web:http", minute(1), core.Pass), run("web:http", minute(2), core.Fail)}
	must(t, "record", b.Record(t.Context(), runs))
	configure(t, b, core.Change{DeleteSystems: []string{"web"}}, minute(3))
	rollAll(t, b, minute(10))
	checkChart(t, b, runs, "web:http", minute(0), minute(60))
	watch(t, b, "web")
	more := run("web:http", minute(20), core.Pass)
	must(t, "record", b.Record(t.Context(), []*core.Run{more}))
	rollAll(t, b, minute(30))
	checkChart(t, b, append(runs, more), "web:http", minute(0), minute(60))
}

// Samples that are numbers are added up too.
func (s suite) testSamples(t *testing.T) {
	b, dir := s.freshIn(t)
	watch(t, b, "web")
	for i := range 100 {
		r := run("web:http", minute(i), core.Pass)
		r.Samples = core.Samples{"depth": int64(i), "load": -float64(i) / 4, "wait": time.Duration(i) * time.Second, "name": "x", "up": true, "none": nil, "bad": math.NaN()}
		must(t, "record", b.Record(t.Context(), []*core.Run{r}))
		if i == 60 {
			rollAll(t, b, minute(i))
		}
	}
	check := func() {
		t.Helper()
		c := chart(t, b, "web:http", minute(0), minute(100), 1)
		whole := c.Whole()
		for name, want := range map[string][3]float64{"depth": {0, 99, 99 * 50}, "load": {-24.75, 0, -99 * 50 / 4.0}, "wait": {0, 99e9, 99 * 50e9}} {
			v := whole.Samples[name]
			if v == nil || v.Count != 100 || v.Min != want[0] || v.Max != want[1] || math.Abs(v.Sum-want[2]) > 1e-6*math.Abs(want[2]) {
				t.Errorf("sample %s is %+v, want 100 from %v to %v, %v in all", name, v, want[0], want[1], want[2])
			}
		}
		if v := whole.Samples["depth"]; v != nil && math.Abs(v.Quantile(0.5)-49) > 1 {
			t.Errorf("the median of depth is %v, want 49", v.Quantile(0.5))
		}
		if len(whole.Samples) != 3 {
			t.Errorf("%d samples are added up, want 3: the others are no numbers", len(whole.Samples))
		}
	}
	check()
	rollAll(t, b, minute(100))
	check()
	must(t, "close", b.Close())
	b = s.reopen(t, dir)
	check()
}
