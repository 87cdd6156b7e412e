package live_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/sqlite"
	"github.com/tocsin-io/tocsin/web/live"
	"github.com/tocsin-io/tocsin/web/wire"
)

// world is a real database with a hub over it and a server before it.
type world struct {
	t      *testing.T
	db     *sqlite.Store
	hub    *live.Hub
	server *httptest.Server
	peer   atomic.Pointer[live.Peer]
	stop   func()
	runs   int
}

func newWorld(t *testing.T, o live.Options) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), t.TempDir(), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, db: db}
	w.peer.Store(&live.Peer{Me: wire.Me{User: "ann", Role: "viewer"}, Session: "s1"})
	w.hub = live.New(live.Deps{Log: db, Catalog: db, Ledger: db, History: db, Trace: db}, o)
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		err := w.hub.Serve(rw, r, *w.peer.Load())
		if refused, ok := errors.AsType[*live.RefusedError](err); ok {
			http.Error(rw, refused.Reason, refused.Status)
		}
	}))
	// Small buffers, so that a browser that does not read is noticed after
	// kilobytes and not after what the kernel is willing to keep.
	w.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetWriteBuffer(8 << 10)
		}
		return ctx
	}
	w.server.Start()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.hub.Run(ctx) }()
	w.stop = func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
			done <- nil
		case <-time.After(5 * time.Second):
			t.Error("the hub did not stop")
		}
	}
	t.Cleanup(func() {
		w.stop()
		w.server.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	<-w.hub.Loaded()
	return w
}

// put stores systems, each with one check "c" that needs one run to move.
func (w *world) put(systems ...core.System) {
	w.t.Helper()
	e := store.Edit{By: "ann", Now: time.Now()}
	for _, s := range systems {
		text, err := json.Marshal(s)
		if err != nil {
			w.t.Fatal(err)
		}
		e.Put = append(e.Put, store.Object{Kind: store.Systems, ID: s.ID, Body: text})
		e.Systems.PutSystems = append(e.Systems.PutSystems, s)
		e.Systems.PutAssignments = append(e.Systems.PutAssignments, core.Assignment{
			ID: s.ID + ":c", System: s.ID, Check: "c", Enabled: true, Interval: core.Duration(time.Minute),
			Policy: core.Policy{Degraded: 1, Unhealthy: 1},
		})
	}
	w.edit(e)
}

func (w *world) drop(id string) {
	w.t.Helper()
	w.edit(store.Edit{
		Delete:  []store.Object{{Kind: store.Systems, ID: id}},
		Systems: core.Change{DeleteAssignments: []string{id + ":c"}, DeleteSystems: []string{id}}, By: "ann", Now: time.Now(),
	})
}

func (w *world) edit(e store.Edit) {
	w.t.Helper()
	var err error
	if _, e.Base, err = w.db.Objects(w.t.Context(), "none"); err == nil {
		_, err = w.db.Apply(w.t.Context(), e)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// run records one run of the check of a system.
func (w *world) run(system string, outcome core.Outcome) {
	w.t.Helper()
	w.runs++
	now := time.Now()
	r := &core.Run{Assignment: system + ":c", Due: now, Started: now, Ended: now, Outcome: outcome, Latency: time.Duration(w.runs) * time.Millisecond}
	if outcome != core.Pass {
		r.Why = core.Because("assertion", "run {n}", "n", strconv.Itoa(w.runs))
	}
	if err := w.db.Record(w.t.Context(), []*core.Run{r}); err != nil {
		w.t.Fatal(err)
	}
}

// snapshot is what HTTP shows.
func (w *world) snapshot() wire.Fleet {
	w.t.Helper()
	var f wire.Fleet
	if err := json.Unmarshal(w.hub.Fleet().JSON, &f); err != nil {
		w.t.Fatal(err)
	}
	return f
}

// settle waits until a snapshot is as wanted.
func (w *world) settle(what string, ok func(wire.Fleet) bool) wire.Fleet {
	w.t.Helper()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f := w.snapshot(); ok(f) {
			return f
		}
	}
	w.t.Fatalf("the fleet never showed %s: %+v", what, w.snapshot())
	return wire.Fleet{}
}

// browser is the other end of a socket.
type browser struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial opens a socket and returns the status of the answer.
func (w *world) dial(h http.Header) (*websocket.Conn, int, error) {
	d := websocket.Dialer{Subprotocols: []string{live.Protocol}}
	if h == nil {
		h = http.Header{"Origin": {w.server.URL}}
	}
	conn, resp, err := d.Dial("ws"+strings.TrimPrefix(w.server.URL, "http"), h)
	if resp == nil {
		return conn, 0, err
	}
	_ = resp.Body.Close()
	return conn, resp.StatusCode, err
}

func (w *world) connect() *browser {
	w.t.Helper()
	conn, _, err := w.dial(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close() })
	return &browser{w.t, conn}
}

func (b *browser) send(f wire.Frame) {
	b.t.Helper()
	if err := b.conn.WriteJSON(f); err != nil {
		b.t.Fatal(err)
	}
}

// next is the next frame but heartbeats; false when the socket closed.
func (b *browser) next() (wire.Push, bool) {
	b.t.Helper()
	for {
		if err := b.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			b.t.Fatal(err)
		}
		var p wire.Push
		if err := b.conn.ReadJSON(&p); err != nil {
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() {
				b.t.Fatal("no frame came for 5 s")
			}
			return p, false
		}
		if p.T != "hb" {
			return p, true
		}
	}
}

// until reads up to a frame of a kind.
func (b *browser) until(kind string) wire.Push {
	b.t.Helper()
	for {
		p, ok := b.next()
		if !ok {
			b.t.Fatalf("the socket closed before a frame %q came", kind)
		}
		if p.T == kind {
			return p
		}
	}
}

// closed reads until the socket closes and returns the code.
func (b *browser) closed() int {
	b.t.Helper()
	for {
		if err := b.conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			b.t.Fatal(err)
		}
		if _, _, err := b.conn.ReadMessage(); err != nil {
			var closed *websocket.CloseError
			if !errors.As(err, &closed) {
				b.t.Fatalf("the socket ended without a code: %v", err)
			}
			return closed.Code
		}
	}
}

func hello(subs ...wire.Frame) wire.Frame { return wire.Frame{T: "hello", V: 1, Subs: subs} }

// state is one System as a browser holds it.
type state struct {
	ID, Name, Groups, Tags, Why string
	Health                      core.Health
	Flags, OK, Total            int
	Since                       int64
}

// replica is the fleet as a browser holds it.
type replica struct {
	epoch   string
	seq     int64
	systems map[int]state
}

func fromSnapshot(f wire.Fleet) replica {
	r := replica{f.Epoch, f.Seq, map[int]state{}}
	for i, h := range f.H {
		r.systems[h] = state{
			f.ID[i], f.Name[i], fmt.Sprint(f.Groups[i]), fmt.Sprint(f.Tags[i]), f.Why[i].Text,
			core.Health(f.Health[i] - '0'), f.Flags[i], f.OK[i], f.Total[i], f.Since[i],
		}
	}
	return r
}

func (r *replica) apply(p wire.Push) {
	r.seq = p.Seq
	for _, row := range p.Fleet {
		if row.Gone {
			delete(r.systems, row.H)
			continue
		}
		s := r.systems[row.H]
		if row.ID != "" {
			s.ID, s.Name, s.Groups, s.Tags = row.ID, row.Name, fmt.Sprint(row.Groups), fmt.Sprint(row.Tags)
			if row.Tags == nil {
				s.Tags = fmt.Sprint(map[string]string{})
			}
		}
		s.Health, s.Flags, s.OK, s.Total, s.Since, s.Why = row.Health, row.Flags, row.OK, row.Total, row.Since, row.Why.Text
		r.systems[row.H] = s
	}
}

// TestResumeIsSnapshot makes random edits and runs while a browser comes and
// goes, and asks each time whether what it holds is what a snapshot shows.
// acceptance 41.
func TestResumeIsSnapshot(t *testing.T) {
	w := newWorld(t, live.Options{Tick: 2 * time.Millisecond, Poll: 20 * time.Millisecond})
	rng := rand.New(rand.NewPCG(1, 2))
	ids := func() string { return "s" + strconv.Itoa(rng.IntN(20)) }
	there := map[string]bool{}
	mine := fromSnapshot(w.snapshot())
	for round := range 25 {
		var b *browser
		if rng.IntN(3) > 0 { // else everything happens while it is away
			b = w.connect()
			b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "fleet", Since: mine.seq, Epoch: mine.epoch}))
			b.until("welcome")
		}
		for range rng.IntN(12) {
			switch id := ids(); {
			case !there[id] || rng.IntN(8) == 0:
				s := core.System{ID: id, Name: "n" + strconv.Itoa(rng.IntN(3))}
				if rng.IntN(2) == 0 {
					s.Tags = map[string]string{"t": strconv.Itoa(rng.IntN(3))}
					s.Groups = []string{"g" + strconv.Itoa(rng.IntN(2))}
				}
				w.put(s)
				there[id] = true
			case rng.IntN(8) == 0:
				w.drop(id)
				delete(there, id)
			default:
				w.run(id, core.Outcome(rng.IntN(4)))
			}
		}
		head, err := w.db.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := w.quiet(head)
		if b == nil {
			b = w.connect()
			b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "fleet", Since: mine.seq, Epoch: mine.epoch}))
			b.until("welcome")
		}
		for mine.seq < want.seq && !reflect.DeepEqual(mine.systems, want.systems) {
			p := b.until("d")
			mine.apply(p)
		}
		if !reflect.DeepEqual(mine.systems, want.systems) {
			t.Fatalf("round %d: the browser holds\n%v\nand the snapshot shows\n%v", round, mine.systems, want.systems)
		}
		if len(want.systems) != len(there) {
			t.Fatalf("round %d: %d systems are shown, %d are there", round, len(want.systems), len(there))
		}
		_ = b.conn.Close()
	}
}

// quiet waits until the hub shows what is stored and returns it.
func (w *world) quiet(int64) replica {
	w.t.Helper()
	stored := func() map[string]core.Rolled {
		all, err := w.db.Rolled(w.t.Context())
		if err != nil {
			w.t.Fatal(err)
		}
		out := map[string]core.Rolled{}
		for _, r := range all {
			if r.Subject.Kind == core.OfSystem {
				out[r.Subject.ID] = r
			}
		}
		return out
	}
	same := func(f wire.Fleet) bool {
		objects, _, err := w.db.Objects(w.t.Context(), store.Systems)
		if err != nil || len(objects) != len(f.H) {
			return false
		}
		rolled := stored()
		for i, id := range f.ID {
			r := rolled[id]
			if core.Health(f.Health[i]-'0') != r.Health || !r.Since.IsZero() && f.Why[i].Text != r.Why.Text || f.OK[i] != r.HealthyChecks {
				return false
			}
			var s core.System
			j := slices.IndexFunc(objects, func(o store.Object) bool { return o.ID == id })
			if j < 0 || json.Unmarshal(objects[j].Body, &s) != nil || s.Label() != f.Name[i] || !maps.Equal(s.Tags, f.Tags[i]) {
				return false
			}
		}
		return true
	}
	w.settle("what is stored", same)
	time.Sleep(60 * time.Millisecond) // flags come with the next poll
	return fromSnapshot(w.settle("what is stored", same))
}

// TestChangeArrivesSoon measures commit to browser with the default tick.
func TestChangeArrivesSoon(t *testing.T) {
	w := newWorld(t, live.Options{})
	w.put(core.System{ID: "a"})
	f := w.settle("a", func(f wire.Fleet) bool { return len(f.H) == 1 })
	b := w.connect()
	b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "fleet", Since: f.Seq, Epoch: f.Epoch}))
	b.until("welcome")
	var worst time.Duration
	for i := range 6 {
		want := []core.Health{core.Unhealthy, core.Healthy}[i%2]
		began := time.Now()
		w.run("a", []core.Outcome{core.Fail, core.Pass}[i%2])
		for {
			if p := b.until("d"); len(p.Fleet) == 1 && p.Fleet[0].Health == want {
				break
			}
		}
		worst = max(worst, time.Since(began))
	}
	t.Logf("commit to browser: worst of 6 is %s", worst)
	if worst > 900*time.Millisecond {
		t.Errorf("a change took %s to arrive, want well under 1 s", worst)
	}
}

// TestUnknownEpoch sends a browser that knows another epoch back to HTTP.
func TestUnknownEpoch(t *testing.T) {
	w := newWorld(t, live.Options{})
	b := w.connect()
	f := hello(wire.Frame{T: "sub", ID: 3, Topic: "fleet", Since: 7})
	f.Epoch = "gone"
	b.send(f)
	if got := b.until("welcome"); got.You == nil || got.You.User != "ann" || got.HB != 5000 {
		t.Errorf("welcome is %+v", got)
	}
	if got := b.until("reset"); got.Sub != 3 || got.Why != "epoch" {
		t.Errorf("got %+v, want a reset of 3 because of the epoch", got)
	}
}

// TestRowsAndEvents follows one system: its row, its runs and transitions, and
// edits in the activity.
func TestRowsAndEvents(t *testing.T) {
	w := newWorld(t, live.Options{Tick: 5 * time.Millisecond})
	w.put(core.System{ID: "a"}, core.System{ID: "b"})
	w.run("a", core.Fail)
	f := w.settle("two", func(f wire.Fleet) bool { return len(f.H) == 2 && strings.Contains(f.Health, "3") })
	a := f.H[slices.Index(f.ID, "a")]
	b := w.connect()
	b.send(hello(
		wire.Frame{T: "sub", ID: 1, Topic: "rows", IDs: []int{a}},
		wire.Frame{T: "sub", ID: 2, Topic: "system:a"},
		wire.Frame{T: "sub", ID: 3, Topic: "activity"},
	))
	b.until("welcome")
	if p := b.until("d"); len(p.Rows) != 1 || p.Rows[0].Ring != "f" || p.Rows[0].P95 != 1 || p.Rows[0].Last == 0 {
		t.Fatalf("the first row is %+v", p.Rows)
	}
	w.run("a", core.Pass)
	w.run("b", core.Fail)
	w.put(core.System{ID: "b", Name: "bee"})
	seen := map[string]bool{}
	for end := time.Now().Add(5 * time.Second); len(seen) < 5 && time.Now().Before(end); {
		p, ok := b.next()
		if !ok {
			t.Fatal("the socket closed")
		}
		if p.T == "d" && len(p.Rows) == 1 && p.Rows[0].Ring == "fp" {
			seen["row"] = true
		}
		for _, e := range p.Events {
			switch {
			case p.Sub == 2 && e.Run != nil && e.Run.Assignment == "a:c":
				seen["run"] = true
			case p.Sub == 2 && e.Transition != nil && strings.HasPrefix(e.Transition.Subject.ID, "a"):
				seen["transition"] = true
			case p.Sub == 3 && e.Transition != nil && e.Transition.Subject.ID == "b":
				seen["activity"] = true
			case p.Sub == 3 && e.Config == "system:b":
				seen["edit"] = true
			case p.Sub == 2:
				t.Errorf("system:a got %+v", e)
			}
		}
	}
	if len(seen) != 5 {
		t.Errorf("came only %v", slices.Sorted(maps.Keys(seen)))
	}
}

// TestSlowBrowser lets one browser read nothing while the fleet moves: another
// is not delayed, and the slow one is sent away with its memory bounded.
// acceptance 42.
func TestSlowBrowser(t *testing.T) {
	w := newWorld(t, live.Options{Tick: 5 * time.Millisecond, WriteDeadline: 150 * time.Millisecond, Poll: time.Hour})
	var all []core.System
	for i := range 100 {
		all = append(all, core.System{ID: fmt.Sprintf("s%03d", i), Name: strings.Repeat("long name ", 30)})
	}
	w.put(all...)
	w.settle("all", func(f wire.Fleet) bool { return len(f.H) == 100 })
	slow := w.connect()
	if tcp, ok := slow.conn.NetConn().(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(4 << 10)
	}
	slow.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "fleet"}, wire.Frame{T: "sub", ID: 2, Topic: "activity"}))
	quick := w.connect()
	f := w.snapshot()
	quick.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "fleet", Since: f.Seq, Epoch: f.Epoch}))
	quick.until("welcome")
	stop := make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			changed := make([]core.System, len(all))
			for j, s := range all {
				s.Name += strconv.Itoa(i)
				changed[j] = s
			}
			w.put(changed...)
		}
	})
	defer busy.Wait()
	defer close(stop)
	var worst time.Duration
	last := time.Now()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && w.hub.Sockets() == 2; {
		quick.until("d")
		worst, last = max(worst, time.Since(last)), time.Now()
	}
	if w.hub.Sockets() != 1 {
		t.Fatalf("%d sockets are open, the slow one should be gone", w.hub.Sockets())
	}
	t.Logf("longest wait of the quick browser: %s", worst)
	if worst > 3*time.Second {
		t.Errorf("the quick browser waited %s for a frame", worst)
	}
}

// TestOverflow gives a paused browser more events than its queue holds.
func TestOverflow(t *testing.T) {
	w := newWorld(t, live.Options{Tick: time.Millisecond, Queue: 4})
	w.put(core.System{ID: "a"})
	b := w.connect()
	b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "activity"}))
	b.until("welcome")
	b.send(wire.Frame{T: "pause"})
	time.Sleep(20 * time.Millisecond)
	for i := range 10 {
		w.run("a", []core.Outcome{core.Fail, core.Pass}[i%2])
	}
	if p := b.until("reset"); p.Sub != 1 || p.Why != "overflow" {
		t.Errorf("got %+v, want a reset because of overflow", p)
	}
}

// TestResumeEvents gives a browser that comes back what it missed, or sends it
// to HTTP when that is not at hand.
func TestResumeEvents(t *testing.T) {
	w := newWorld(t, live.Options{Tick: time.Millisecond})
	w.put(core.System{ID: "a"})
	b := w.connect()
	b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "activity"}))
	welcome := b.until("welcome")
	w.run("a", core.Fail)
	first := b.until("e")
	_ = b.conn.Close()
	w.run("a", core.Pass)
	w.settle("healthy", func(f wire.Fleet) bool { return f.Health == "1" })
	b = w.connect()
	b.send(hello(wire.Frame{T: "sub", ID: 1, Topic: "activity", Since: first.Seq, Epoch: welcome.Epoch}))
	got := 0
	for got < 2 {
		for _, e := range b.until("e").Events {
			if e.Transition == nil || e.Transition.To != core.Healthy {
				continue
			}
			got++
		}
	}
}

// TestOrigin opens sockets from pages of this server only.
func TestOrigin(t *testing.T) {
	w := newWorld(t, live.Options{Origins: []string{"https://status.example.com"}})
	for _, tc := range []struct {
		name   string
		origin []string
		bearer bool
		want   int
	}{
		{"same", []string{w.server.URL}, false, 101},
		{"listed", []string{"https://status.example.com"}, false, 101},
		{"listed but another scheme", []string{"http://status.example.com"}, false, 403},
		{"other", []string{"https://evil.example"}, false, 403},
		{"other port", []string{"http://127.0.0.1:1"}, false, 403},
		{"prefix", []string{w.server.URL + ".evil.example"}, false, 403},
		{"null", []string{"null"}, false, 403},
		{"file", []string{"file://" + strings.TrimPrefix(w.server.URL, "http://")}, false, 403},
		{"two", []string{w.server.URL, "https://evil.example"}, false, 403},
		{"none with a cookie", nil, false, 403},
		{"none with a token", nil, true, 101},
		{"other with a token", []string{"https://evil.example"}, true, 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w.peer.Store(&live.Peer{Session: tc.name, Bearer: tc.bearer})
			conn, status, err := w.dial(http.Header{"Origin": tc.origin})
			if err == nil {
				_ = conn.Close()
			}
			if status != tc.want {
				t.Errorf("origin %q: got %d (%v), want %d", tc.origin, status, err, tc.want)
			}
		})
	}
}

// TestCloses is a table of what ends a socket, and with which code.
func TestCloses(t *testing.T) {
	w := newWorld(t, live.Options{Hello: 100 * time.Millisecond, Sessions: 20 * time.Millisecond})
	alive := atomic.Bool{}
	alive.Store(true)
	for _, tc := range []struct {
		name string
		do   func(b *browser)
		want int
	}{
		{"no hello", func(*browser) {}, wire.CloseNoHello},
		{"something before hello", func(b *browser) { b.send(wire.Frame{T: "sub", ID: 1, Topic: "fleet"}) }, wire.CloseNoHello},
		{"old protocol", func(b *browser) { b.send(wire.Frame{T: "hello", V: 99}) }, wire.CloseTooOld},
		{"hello twice", func(b *browser) { b.send(hello()); b.send(hello()) }, websocket.ClosePolicyViolation},
		{"binary", func(b *browser) { _ = b.conn.WriteMessage(websocket.BinaryMessage, []byte("x")) }, websocket.CloseUnsupportedData},
		{"large", func(b *browser) { _ = b.conn.WriteMessage(websocket.TextMessage, make([]byte, live.MaxFrame+1)) }, websocket.CloseMessageTooBig},
		{"session ended here", func(b *browser) { b.send(hello()); b.until("welcome"); w.hub.EndSession("session ended here") }, wire.CloseSession},
		{"session ended elsewhere", func(b *browser) { b.send(hello()); b.until("welcome"); alive.Store(false) }, wire.CloseSession},
		{"restart", func(b *browser) {
			b.send(hello())
			b.until("welcome")
			go w.stop()
			if p := b.until("bye"); p.Why != "restart" || p.RetryMS != [2]int{500, 4000} {
				b.t.Errorf("bye is %+v", p)
			}
		}, wire.CloseRestart},
	} {
		t.Run(tc.name, func(t *testing.T) {
			alive.Store(true)
			w.peer.Store(&live.Peer{Session: tc.name, Alive: func(context.Context) bool { return alive.Load() }})
			b := w.connect()
			b.t = t
			tc.do(b)
			if got := b.closed(); got != tc.want {
				t.Errorf("closed with %d, want %d", got, tc.want)
			}
		})
	}
}

// TestCaps opens more sockets and subscriptions than there may be.
func TestCaps(t *testing.T) {
	w := newWorld(t, live.Options{PerSession: 2, PerInstance: 3, Subs: 2})
	w.connect()
	b := w.connect()
	if _, status, err := w.dial(nil); err == nil || status != http.StatusServiceUnavailable {
		t.Errorf("a third socket of the session: %d, want 503", status)
	}
	w.peer.Store(&live.Peer{Session: "s2"})
	w.connect()
	w.peer.Store(&live.Peer{Session: "s3"})
	if _, status, err := w.dial(nil); err == nil || status != http.StatusServiceUnavailable {
		t.Errorf("a fourth socket of the instance: %d, want 503", status)
	}
	b.send(hello(wire.Frame{ID: 1, Topic: "fleet"}, wire.Frame{ID: 2, Topic: "activity"}, wire.Frame{ID: 3, Topic: "activity"}))
	if p := b.until("err"); p.Sub != 3 || p.Code != "limit" {
		t.Errorf("a third subscription: %+v, want an error", p)
	}
	b.send(wire.Frame{T: "sub", ID: 4, Topic: "secrets"})
	if p := b.until("err"); !strings.Contains(p.Msg, "is not a topic") {
		t.Errorf("an unknown topic: %+v", p)
	}
}

// TestSnapshotIsSmall compresses the snapshot of 2,000 systems to less than 9
// bytes each, a little over the goal of live/snapshot for 10,000.
func TestSnapshotIsSmall(t *testing.T) {
	w := newWorld(t, live.Options{})
	w.many(2000)
	s := w.hub.Fleet()
	if len(s.Gzip) > 9*2000 {
		t.Errorf("the snapshot has %d bytes compressed", len(s.Gzip))
	}
	z, err := gzip.NewReader(bytes.NewReader(s.Gzip))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !bytes.Equal(text, s.JSON) {
		t.Errorf("the compressed snapshot is another (%v)", err)
	}
}

func (w *world) many(n int) {
	w.t.Helper()
	w.put(systems(n)...)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if c := w.hub.Count(); c[core.Unknown] == n {
			return
		}
	}
	w.t.Fatalf("the hub does not show %d systems", n)
}

// FuzzDecode never panics, and what it accepts is within bounds.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"t":"hello","v":1,"build":"3fa9","epoch":"k7","subs":[{"t":"sub","id":1,"topic":"fleet","since":8}]}`,
		`{"t":"sub","id":7,"topic":"rows","ids":[12,90],"since":88213}`, `{"t":"unsub","id":7}`, `{"t":"hz","max":10}`, `{"t":"pause"}`,
		`{"t":"sub","id":1,"topic":"system:../x"}`, `{"t":"x"}`, `{}`, `[]`, `{"t":"hello"}{}`, `{"t":"hz","max":1e99}`, ``, "\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := live.Decode(text)
		if err != nil {
			return
		}
		for _, s := range append(got.Subs, got) {
			if len(s.IDs) > live.MaxRows || s.Since < 0 && s.T == "sub" {
				t.Errorf("accepted %q", text)
			}
		}
	})
}

func TestSpans(t *testing.T) {
	at := func(m int) time.Time { return time.Date(2026, 1, 1, 0, m, 0, 0, time.UTC) }
	moves := []core.Transition{{Seq: 2, At: at(30), To: core.Healthy}, {Seq: 1, At: at(20), To: core.Unhealthy}, {Seq: 3, At: at(40), To: core.Stale}}
	spans := live.Spans(moves, core.Unknown, at(0), at(60))
	var got []string
	for _, s := range spans {
		got = append(got, fmt.Sprintf("%d-%d %s", s.From.Minute(), int(s.To.Sub(at(0)).Minutes()), s.Health))
	}
	if want := []string{"0-20 unknown", "20-30 unhealthy", "30-40 healthy", "40-60 stale"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if share := live.Share(spans); share != 0.5 {
		t.Errorf("share %v, want 0.5: unknown and stale do not count", share)
	}
	if share := live.Share(live.Spans(nil, core.Unknown, at(0), at(60))); share != -1 {
		t.Errorf("share of nothing known is %v, want -1", share)
	}
}
