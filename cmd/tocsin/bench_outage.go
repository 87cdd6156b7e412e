package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/postgres"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/core/store/storetest/pgtest"
	"github.com/tocsin-io/tocsin/web/wire"
)

// failEach is which of the systems of an outage is down all the time, one in so
// many: what was seen of those must outlive a full buffer.
const failEach = 10

// outage is a server whose storage goes away and comes back while it makes rate
// checks a second.
type outage struct {
	b       *bencher
	rate    int
	buffer  int // how many results it may keep
	prefix  string
	span    time.Duration
	server  *server
	stop    func() error            // the storage
	failed  func() (bool, error)    // whether that has been noticed; nil: at once
	resume  func() error            // the storage
	history func() (history, error) // when the server has ended
	before  wire.EngineStats
}

// benchOutagePostgres stops the database of size checks a second, and starts it
// again: with room for all results that wait, and with room for a quarter.
func benchOutagePostgres(b *bencher) error {
	return b.outages("database away", func(o *outage, dir string) (func(), error) {
		if b.database != "" {
			return nil, usageError{errors.New("--database: this bench stops the server, and must start one of its own")}
		}
		url, pg, end, err := b.postgres()
		if err != nil {
			return nil, err
		}
		o.stop, o.resume = pg.Halt, pg.Start
		o.history = func() (history, error) {
			db, err := postgres.Open(b.ctx, url, postgres.Options{Node: "bench", Aside: true})
			if err != nil {
				return history{}, err
			}
			defer db.Close() //nolint:errcheck // it only reads
			return readHistory(b.ctx, db)
		}
		o.server, err = b.startServer(dir, nil, "--buffer", fmt.Sprint(o.buffer), "--database", url)
		return end, err
	})
}

// diskSize is that of the disk that is filled.
const diskSize = "512m"

// errMount is of a machine where we may not mount.
var errMount = errors.New("a disk of our own cannot be mounted: it takes root with CAP_SYS_ADMIN, or user namespaces, and the command unshare of the package util-linux")

// benchOutageDisk fills the disk under the database file of size checks a
// second, and makes room again.
func benchOutageDisk(b *bencher) error {
	wrapper := []string{"unshare", "--mount"}
	if os.Geteuid() != 0 {
		wrapper = append(wrapper, "--user", "--map-root-user")
	}
	wrapper = append(wrapper, "sh", "-c", `mount -t tmpfs -o size=`+diskSize+` tocsin "$0" && exec "$@"`)
	try := append(append([]string{}, wrapper...), b.dir, "true")
	if out, err := exec.CommandContext(b.ctx, try[0], try[1:]...).CombinedOutput(); err != nil { //nolint:gosec // fixed words
		b.leaveOut("all", errors.Join(errMount, err, errors.New(string(out))).Error())
		return nil
	}
	return b.outages("disk full", func(o *outage, dir string) (func(), error) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		var err error
		o.server, err = b.startServer(dir, append(append([]string{}, wrapper...), dir), "--buffer", fmt.Sprint(o.buffer))
		if err != nil {
			return nil, err
		}
		inside := filepath.Join("/proc", fmt.Sprint(o.server.cmd.Process.Pid), "root", dir)
		disk, err := os.Open(inside) //nolint:gosec // keeps it mounted when the server has ended
		if err != nil {
			return nil, err
		}
		filler := filepath.Join(inside, "filler")
		o.stop = func() error { return fill(filler) }
		o.failed = func() (bool, error) {
			figures, err := o.server.figures(b.ctx)
			return figures["tocsin_storage_failing"] == 1, err
		}
		o.resume = func() error { return os.Remove(filler) }
		o.history = func() (history, error) {
			copied := dir + "-copy"
			if err := os.CopyFS(copied, os.DirFS(fmt.Sprintf("/proc/self/fd/%d", disk.Fd()))); err != nil {
				return history{}, err
			}
			db, err := sqlite.Open(b.ctx, copied, sqlite.Options{})
			if err != nil {
				return history{}, err
			}
			defer db.Close() //nolint:errcheck // it only reads
			return readHistory(b.ctx, db)
		}
		return func() { _ = disk.Close() }, nil
	})
}

// fill writes a file until there is no room left.
func fill(path string) error {
	file, err := os.Create(path) //nolint:gosec // of this bench
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for len(block) > 0 && err == nil {
		if _, err = file.Write(block); errors.Is(err, syscall.ENOSPC) {
			block, err = block[:len(block)/2], nil // what is left is smaller
		}
	}
	return errors.Join(err, file.Close())
}

// outages has the storage go away at each size, with room for all results and
// with room for few.
func (b *bencher) outages(what string, begin func(o *outage, dir string) (end func(), err error)) error {
	for i, rate := range b.sizes {
		for _, share := range []int{0, 4} {
			o := &outage{b: b, rate: rate, buffer: defaultBuffer, prefix: what, span: time.Duration(b.seconds) * time.Second}
			if share > 0 {
				o.buffer, o.prefix = max(rate*b.seconds/share, rate), what+", room for few"
			}
			err := o.whole(filepath.Join(b.dir, fmt.Sprint(i, "-", share)), begin)
			if errors.Is(err, pgtest.ErrMissing) {
				b.leaveOut(what, err.Error())
				return nil
			}
			if err != nil {
				return fmt.Errorf("%s: %w", o.prefix, err)
			}
		}
	}
	return nil
}

// whole is one outage from its beginning to what is to be said of it.
func (o *outage) whole(dir string, begin func(o *outage, dir string) (func(), error)) error {
	b := o.b
	end, err := begin(o, dir)
	if end != nil {
		defer end()
	}
	if o.server != nil {
		defer o.server.kill() //nolint:errcheck // it may have ended
	}
	if err != nil {
		return err
	}
	url, endTarget, err := b.target()
	if err != nil {
		return err
	}
	defer endTarget()
	if err := o.server.apply(b.ctx, outageManifests(o.rate, url)); err != nil {
		return err
	}
	if err := o.settle(); err != nil {
		return err
	}
	if err := o.stop(); err != nil {
		return err
	}
	if o.failed != nil {
		if err := b.until("the server notices", o.failed); err != nil {
			return err
		}
	}
	gone := time.Now()
	select {
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(o.span):
	}
	if err := o.resume(); err != nil {
		return err
	}
	back := time.Now()
	if err := o.recover(); err != nil {
		return err
	}
	took := time.Since(back)
	after, err := o.stats()
	if err != nil {
		return err
	}
	if err := dismiss(o.server.cmd.Process); err != nil {
		return err
	}
	<-o.server.ended
	h, err := o.history()
	if err != nil {
		return err
	}
	o.tell(h, gone, back, took, after)
	return nil
}

// outageManifests are rate systems that are checked each second, of which some
// are down.
func outageManifests(rate int, url string) string {
	var out strings.Builder
	for i := range rate {
		state := "up"
		if i%failEach == 0 {
			state = "down"
		}
		fmt.Fprintf(&out, "apiVersion: tocsin/v1\nkind: System\nmetadata: {name: s%05d}\nspec: {tags: {state: %s}}\n---\n", i, state)
	}
	for _, state := range []string{"up", "down"} {
		fmt.Fprintf(&out, "apiVersion: tocsin/v1\nkind: Check\nmetadata: {name: %s}\nspec:\n  systems: {match: 'system.tags.state == %q'}\n  every: 1s\n"+
			"  policy: {degraded: %d, unhealthy: %d}\n  collect: [{use: http, with: {url: %q}}]\n---\n", state, state, benchPolicy().Degraded, benchPolicy().Unhealthy, url+"/"+state)
	}
	return out.String()
}

// stats is how the engine of the server does.
func (o *outage) stats() (wire.EngineStats, error) {
	var i wire.Instance
	err := o.server.do(o.b.ctx, http.MethodGet, "/api/v1/instance", "", nil, &i)
	return i.Engine, err
}

// settle waits until each system has the health that it must have, and checks
// have run on time for a second.
func (o *outage) settle() error {
	down := (o.rate + failEach - 1) / failEach
	return o.b.until("all systems are up or down as they are", func() (bool, error) {
		figures, err := o.server.figures(o.b.ctx)
		if err != nil || int(figures[`tocsin_systems{health="unhealthy"}`]) != down || int(figures[`tocsin_systems{health="healthy"}`]) != o.rate-down {
			return false, err
		}
		before, err := o.stats()
		if err != nil {
			return false, err
		}
		select {
		case <-o.b.ctx.Done():
			return false, o.b.ctx.Err()
		case <-time.After(time.Second):
		}
		o.before, err = o.stats()
		return err == nil && o.before.Skipped == before.Skipped, err
	})
}

// recover waits until nothing waits any longer than it does in good times.
func (o *outage) recover() error {
	return o.b.until("what waited is stored", func() (bool, error) {
		now, err := o.stats()
		return err == nil && now.Error == "" && now.Unstored <= max(o.rate/10, 2) && now.Runs > o.before.Runs, err
	})
}

// tell reports what became of the results of the time without storage.
func (o *outage) tell(h history, gone, back time.Time, took time.Duration, after wire.EngineStats) {
	a := h.examine(benchPolicy())
	o.b.made.Found = append(o.b.made.Found, a.found...)
	changed := 0
	for _, c := range h.log {
		if c.Subject.Kind == core.OfAssignment && c.At.After(gone) {
			changed++
			if changed <= 10 {
				o.b.made.Found = append(o.b.made.Found, fmt.Sprintf("%v went from %v to %v at %v: %v", c.Subject, c.From, c.To, c.At, c.Why))
			}
		}
	}
	lost, lostBad, during := 0, 0, 0
	// Failing results alone may be more than there is room for.
	mayLose := max(0, (int(back.Sub(gone).Seconds())+2)*(o.rate+failEach-1)/failEach-o.buffer)
	span := map[string][3]int64{} // first and last due time, and how many there are
	for i := range h.runs {
		r := &h.runs[i]
		if r.Due.After(gone) && r.Due.Before(back) {
			during++
		}
		s, ok := span[r.Assignment]
		if !ok {
			s[0] = r.Due.UnixNano()
		}
		span[r.Assignment] = [3]int64{s[0], r.Due.UnixNano(), s[2] + 1}
	}
	for id, s := range span {
		missing := int((s[1]-s[0]+int64(time.Second)/2)/int64(time.Second)) + 1 - int(s[2])
		lost += missing
		if strings.HasSuffix(id, ":down") {
			lostBad += missing
		}
	}
	skipped, dropped := int(after.Skipped), int(after.Dropped+after.Foreign)
	figures := []figure{
		{What: "results of the time without storage, stored", Value: float64(during), Baseline: float64(o.rate) * back.Sub(gone).Seconds()},
		{What: "results dropped, and counted", Value: float64(after.Dropped)},
		{What: "ticks skipped, and counted", Value: float64(skipped)},
		{What: "results lost and not counted", Value: float64(max(0, lost-dropped-skipped)), Goal: "0"},
		{What: "failing results lost for passing ones", Value: float64(max(0, lostBad-skipped-mayLose)), Goal: "0"},
		{What: "changes of health, of which there were none", Value: float64(changed), Goal: "0"},
		{What: "due times recorded twice", Value: float64(a.doubled), Goal: "0"},
		{What: "gaps in Seq", Value: float64(a.gaps), Goal: "0"},
		{What: "transitions not as the runs say", Value: float64(a.amiss), Goal: "0"},
		{What: "until all that waited was stored", Value: took.Seconds(), Unit: "s"},
	}
	for _, f := range figures {
		f.Size, f.What = o.rate, o.prefix+": "+f.What
		if f.Baseline > 0 {
			f.Ratio = f.Value / f.Baseline
		}
		o.b.report(f)
	}
}
