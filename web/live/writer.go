package live

import (
	"errors"
	"os"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tocsin-io/tocsin/web/wire"
)

const (
	mostMissed = 3  // deadlines missed in a row until a socket is closed
	calm       = 50 // quick writes in a row until the rate is raised again
)

// write is the one writer of a socket: it sends control frames at once and
// data at the rate that the browser keeps up with.
func (c *client) write(conn *websocket.Conn) {
	defer func() { _ = conn.Close() }()
	beat := time.NewTicker(c.h.o.Heartbeat)
	defer beat.Stop()
	due := time.NewTimer(time.Hour)
	defer due.Stop()
	stuck := make(chan struct{})
	defer close(stuck)
	go c.breakStuck(conn, stuck)
	for {
		heartbeat := false
		select {
		case <-c.ended:
			c.goodbye(conn)
			return
		case <-beat.C:
			heartbeat = true
		case <-c.awake:
		case <-due.C:
		}
		wait, err := c.turn(conn, heartbeat)
		if err != nil {
			c.lost(err)
			continue
		}
		if wait > 0 {
			due.Reset(wait)
		}
	}
}

// breakStuck closes the connection when the socket was asked to end and its
// writer does not come to it.
func (c *client) breakStuck(conn *websocket.Conn, written <-chan struct{}) {
	select {
	case <-written:
		return
	case <-c.ended:
	}
	t := time.NewTimer(500 * time.Millisecond)
	defer t.Stop()
	select {
	case <-written:
	case <-t.C:
		_ = conn.Close()
	}
}

// turn sends what there is. It returns how long to wait until data may be sent
// again when there is more of it.
func (c *client) turn(conn *websocket.Conn, heartbeat bool) (time.Duration, error) {
	now := time.Now()
	tick := time.Second / time.Duration(c.hz)
	wait := tick - now.Sub(c.lastData)
	control, data := c.collect(heartbeat, wait <= 0)
	for _, p := range control {
		if err := c.send(conn, push(p)); err != nil {
			return 0, err
		}
	}
	if heartbeat {
		if err := conn.WriteControl(websocket.PingMessage, nil, now.Add(c.h.o.WriteDeadline)); err != nil {
			return 0, err //nolint:wrapcheck // lost tells the kinds apart
		}
	}
	if len(data) > 0 {
		c.lastData = now
	}
	for _, f := range data {
		if err := c.send(conn, f); err != nil {
			return 0, err
		}
	}
	return wait, nil
}

// collect takes the frames that are to be sent: control frames always, data
// when its time has come.
func (c *client) collect(heartbeat, withData bool) (control []wire.Push, data []*frame) {
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	control, c.control = c.control, nil
	c.hz = min(c.hz, c.most)
	if !c.greeted {
		return control, nil
	}
	if heartbeat && !h.failing {
		control = append(control, wire.Push{T: "hb", Seq: h.fleet.seq, Now: time.Now().UnixMilli(), Hz: c.hz})
	}
	for _, s := range c.subs {
		if s.reset != "" {
			control = append(control, wire.Push{T: "reset", Sub: s.id, Why: s.reset, Epoch: h.fleet.epoch, Seq: h.fleet.seq})
			s.reset, s.queue = "", nil
		}
	}
	if c.paused || !withData {
		return control, nil
	}
	for _, s := range c.subs {
		if f := h.take(s); f != nil {
			data = append(data, f)
		}
	}
	return control, data
}

// take is what a subscription was not told yet, nil when that is nothing, with
// h.mu held.
func (h *Hub) take(s *sub) *frame {
	switch s.topic {
	case topicFleet:
		return h.takeFleet(s)
	case topicRows:
		return h.takeRows(s)
	}
	if len(s.queue) == 0 {
		return nil
	}
	list := s.queue
	s.queue = nil
	return pushEvents(s.id, list)
}

func (h *Hub) takeFleet(s *sub) *frame {
	to := h.fleet.seq
	if s.cursor >= h.fleet.newest {
		return nil
	}
	key := frameKey{s.id, s.cursor, to}
	s.cursor = to
	f := h.frames[key]
	if f == nil {
		f = push(wire.Push{T: "d", Sub: s.id, Seq: to, Fleet: h.fleet.delta(key.from)})
		h.frames[key] = f
	}
	return f
}

func (h *Hub) takeRows(s *sub) *frame {
	var rows []wire.Row
	for _, handle := range s.rows {
		d := h.rows.details[handle]
		if d == nil || !d.ready {
			continue
		}
		if s.fresh[handle] || d.changed > s.cursor {
			rows = append(rows, d.row)
			delete(s.fresh, handle)
		}
	}
	s.cursor = h.fleet.seq
	if len(rows) == 0 {
		return nil
	}
	return push(wire.Push{T: "d", Sub: s.id, Seq: s.cursor, Rows: rows})
}

// send writes one frame and adapts the rate to how long that took: a write
// longer than a tick halves it, many quick ones double it again.
func (c *client) send(conn *websocket.Conn, f *frame) error {
	m, err := f.prepare()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := conn.SetWriteDeadline(began.Add(mostMissed * c.h.o.WriteDeadline)); err != nil {
		return err //nolint:wrapcheck // lost tells the kinds apart
	}
	if err := conn.WritePreparedMessage(m); err != nil {
		return err //nolint:wrapcheck // lost tells the kinds apart
	}
	c.adapt(time.Since(began))
	return nil
}

// adapt moves the rate after a write.
func (c *client) adapt(took time.Duration) {
	c.missed++
	if took <= c.h.o.WriteDeadline {
		c.missed = 0
	}
	if c.missed >= mostMissed {
		c.endLocked(wire.CloseTooSlow, "the browser does not keep up")
	}
	if took > time.Second/time.Duration(c.hz) {
		c.hz, c.quick = max(1, c.hz/2), 0
		return
	}
	if c.quick++; c.quick < calm {
		return
	}
	c.quick = 0
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.hz = min(c.hz*2, c.most)
}

// lost ends a socket that could not be written to.
func (c *client) lost(err error) {
	code, reason := websocket.CloseGoingAway, ""
	if errors.Is(err, os.ErrDeadlineExceeded) {
		code, reason = wire.CloseTooSlow, "the browser does not keep up"
	}
	c.endLocked(code, reason)
}

// goodbye closes the socket in order: with a bye when the server restarts, and
// with the code that says whether to come back.
func (c *client) goodbye(conn *websocket.Conn) {
	c.h.mu.Lock()
	code, reason := c.code, c.reason
	c.h.mu.Unlock()
	until := time.Now().Add(time.Second)
	if code == wire.CloseRestart {
		if m, err := push(wire.Push{T: "bye", Why: "restart", RetryMS: [2]int{500, 4000}}).prepare(); err == nil {
			_ = conn.SetWriteDeadline(until)
			_ = conn.WritePreparedMessage(m)
		}
	}
	_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), until)
}
