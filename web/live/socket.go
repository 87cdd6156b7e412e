package live

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/tocsin-io/tocsin/web/wire"
)

// Protocol is the subprotocol that browsers must ask for.
const Protocol = "live.v1"

// Peer is who opens a socket, as the HTTP side has found out.
type Peer struct {
	Me wire.Me
	// Session names the session, to count its sockets and to end them.
	Session string
	// Bearer is true for a caller that proved itself with a token: it may come
	// without an Origin, because no browser sends a token by itself.
	Bearer bool
	// Alive reports whether the session still lets this person in; nil: always.
	Alive func(ctx context.Context) bool
}

// RefusedError is why a socket was not opened.
type RefusedError struct {
	Status int // of HTTP
	Reason string
}

// Error is the reason.
func (r *RefusedError) Error() string { return r.Reason }

// Serve turns the request into a socket and serves it until it ends. When it
// may not be opened the answer is left to the caller: the error is a *[RefusedError]
// and nothing was written. Other errors were answered already.
func (h *Hub) Serve(w http.ResponseWriter, r *http.Request, p Peer) error {
	if err := h.admissible(r, p); err != nil {
		return err
	}
	c := newClient(h, p)
	if err := h.admit(c); err != nil {
		return err
	}
	defer h.served.Done()
	defer h.leave(c)
	up := websocket.Upgrader{
		Subprotocols:     []string{Protocol},
		HandshakeTimeout: h.o.Hello,
		ReadBufferSize:   1 << 10,
		WriteBufferSize:  4 << 10,
		CheckOrigin:      func(*http.Request) bool { return true }, // done above, and stricter
	}
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	c.serve(context.WithoutCancel(r.Context()), conn)
	return nil
}

// admissible checks what can be checked of the request alone.
func (h *Hub) admissible(r *http.Request, p Peer) error {
	switch {
	case !websocket.IsWebSocketUpgrade(r):
		return &RefusedError{http.StatusUpgradeRequired, "this is a websocket; ask for an upgrade"}
	case !slices.Contains(websocket.Subprotocols(r), Protocol):
		return &RefusedError{http.StatusBadRequest, "ask for the subprotocol " + Protocol}
	case !h.sameOrigin(r, p):
		return &RefusedError{http.StatusForbidden, "a socket may be opened only by pages of this server"}
	}
	return nil
}

// sameOrigin reports whether the page that opens the socket is ours. Browsers
// always tell the origin of a socket and send cookies with it whatever the
// page, so a missing one is taken only from a caller with a token.
func (h *Hub) sameOrigin(r *http.Request, p Peer) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return p.Bearer
	}
	if len(origins) > 1 {
		return false
	}
	if slices.Contains(h.o.Origins, origins[0]) {
		return true
	}
	u, err := url.Parse(origins[0])
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return false
	}
	return strings.EqualFold(u.Host, r.Host)
}

// admit counts the socket in, or refuses it when there are too many.
func (h *Hub) admit(c *client) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	same := 0
	for other := range h.clients {
		if other.peer.Session == c.peer.Session {
			same++
		}
	}
	switch {
	case h.closing:
		return &RefusedError{http.StatusServiceUnavailable, "the server is stopping"}
	case len(h.clients) >= h.o.PerInstance:
		return &RefusedError{http.StatusServiceUnavailable, fmt.Sprintf("%d sockets are open, the most of this instance", len(h.clients))}
	case same >= h.o.PerSession:
		return &RefusedError{http.StatusServiceUnavailable, fmt.Sprintf("%d sockets are open, the most of one session; close a tab", same)}
	}
	h.clients[c] = struct{}{}
	h.served.Add(1)
	return nil
}

func (h *Hub) leave(c *client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.clients, c)
	for id := range c.subs {
		h.unsubscribe(c, id)
	}
}

// EndSession closes all sockets of a session.
func (h *Hub) EndSession(session string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.clients {
		if c.peer.Session == session {
			c.end(wire.CloseSession, "the session ended")
		}
	}
}

// watchSessions closes the sockets of sessions that ended elsewhere: expired,
// or revoked by another process.
func (h *Hub) watchSessions(ctx context.Context) error {
	tick := time.NewTicker(h.o.Sessions)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		alive := map[string]func(context.Context) bool{}
		h.mu.Lock()
		for c := range h.clients {
			if c.peer.Alive != nil {
				alive[c.peer.Session] = c.peer.Alive
			}
		}
		h.mu.Unlock()
		for session, ask := range alive {
			if !ask(ctx) && ctx.Err() == nil {
				h.EndSession(session)
			}
		}
	}
}

// closeAll says goodbye to everybody and admits nobody any more.
func (h *Hub) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closing = true
	for c := range h.clients {
		c.end(wire.CloseRestart, "the server restarts")
	}
}

// client is one socket. Its reader is the goroutine of the request; its writer
// is one more.
type client struct {
	h    *Hub
	peer Peer

	awake chan struct{} // hint of capacity 1: there may be something to send
	ended chan struct{} // closed when the socket must close

	// Guarded by h.mu.
	greeted bool
	subs    map[int]*sub
	control []wire.Push // to be sent before data; bounded by maxControl
	paused  bool
	most    int // frames a second that the browser asked for
	code    int
	reason  string

	// Of the writer alone.
	hz       int // frames a second now
	quick    int // quick writes in a row
	missed   int // writes in a row that took longer than the deadline
	lastData time.Time
}

// maxControl bounds what waits in client.control; a browser that makes more
// errors than it reads answers is sent away.
const maxControl = 128

// sub is one subscription, guarded by h.mu.
type sub struct {
	id     int
	topic  string
	cursor int64        // of a state topic: told up to here
	fresh  map[int]bool // of rows: handles that must be sent whatever the cursor
	rows   []int
	queue  []*event
	reset  string // why the browser must fetch the topic
}

// push queues an event; with a full queue the topic starts anew.
func (s *sub) push(e *event, most int) {
	if len(s.queue) >= most {
		s.queue, s.reset = nil, "overflow"
	}
	if s.reset == "" {
		s.queue = append(s.queue, e)
	}
}

func newClient(h *Hub, p Peer) *client {
	return &client{
		h: h, peer: p, awake: make(chan struct{}, 1), ended: make(chan struct{}),
		subs: map[int]*sub{}, most: maxHz, hz: maxHz,
	}
}

// wake tells the writer that there may be something to send.
func (c *client) wake() {
	select {
	case c.awake <- struct{}{}:
	default:
	}
}

// end asks the socket to close with a code, with h.mu held. The first code
// counts.
func (c *client) end(code int, reason string) {
	if c.code != 0 {
		return
	}
	c.code, c.reason = code, reason
	close(c.ended)
}

func (c *client) endLocked(code int, reason string) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	c.end(code, reason)
}

// serve reads until the socket ends.
func (c *client) serve(ctx context.Context, conn *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	written := make(chan struct{})
	go func() {
		defer close(written)
		c.write(conn)
	}()
	hello := time.AfterFunc(c.h.o.Hello, func() { c.endUnlessGreeted() })
	defer hello.Stop()
	err := c.read(ctx, conn)
	var gone *websocket.CloseError
	if err != nil && !errors.As(err, &gone) {
		c.h.d.Logger.DebugContext(ctx, "socket ended", slog.Any("err", err))
	}
	c.endLocked(websocket.CloseNormalClosure, "")
	<-written
}

func (c *client) endUnlessGreeted() {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if !c.greeted {
		c.end(wire.CloseNoHello, "no hello came")
	}
}

// read handles the frames of the browser one after another, so that a browser
// can have at most one of them worked on.
func (c *client) read(ctx context.Context, conn *websocket.Conn) error {
	conn.SetReadLimit(MaxFrame)
	silence := 6 * c.h.o.Heartbeat
	alive := func(string) error { return conn.SetReadDeadline(time.Now().Add(silence)) }
	conn.SetPongHandler(alive)
	if err := alive(""); err != nil {
		return fmt.Errorf("set a deadline: %w", err)
	}
	for {
		kind, text, err := conn.ReadMessage()
		if err != nil {
			return fmt.Errorf("read a frame: %w", err)
		}
		if kind != websocket.TextMessage {
			c.endLocked(websocket.CloseUnsupportedData, "frames are JSON text")
			return nil
		}
		f, err := Decode(text)
		if err != nil {
			c.complain(f.ID, "frame", err.Error())
			continue
		}
		if err := c.handle(ctx, f); err != nil {
			c.complain(f.ID, "storage", "the topic could not be read; try again")
			c.h.d.Logger.WarnContext(ctx, "serve a socket", slog.Any("err", err))
		}
	}
}

// complain tells the browser of a frame that was not understood.
func (c *client) complain(sub int, code, msg string) {
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	if len(c.control) >= maxControl {
		c.end(websocket.ClosePolicyViolation, "too many wrong frames")
		return
	}
	c.control = append(c.control, wire.Push{T: "err", Sub: sub, Code: code, Msg: msg})
	c.wake()
}

// handle does what a frame asks for.
func (c *client) handle(ctx context.Context, f wire.Frame) error {
	if f.T == "hello" {
		return c.hello(ctx, f)
	}
	c.h.mu.Lock()
	greeted := c.greeted
	c.h.mu.Unlock()
	if !greeted {
		c.endLocked(wire.CloseNoHello, "say hello first")
		return nil
	}
	if f.T == "sub" {
		return c.subscribe(ctx, f)
	}
	c.h.mu.Lock()
	defer c.h.mu.Unlock()
	switch f.T {
	case "unsub":
		c.h.unsubscribe(c, f.ID)
	case "hz":
		c.most, c.paused = min(max(f.Max, 1), maxHz), false
		c.wake()
	case "pause":
		c.paused = true
	}
	return nil
}

// hello welcomes the browser and takes its first subscriptions.
func (c *client) hello(ctx context.Context, f wire.Frame) error {
	select {
	case <-c.h.loaded:
	case <-c.ended:
		return nil
	case <-ctx.Done():
		return nil
	}
	c.h.mu.Lock()
	switch {
	case f.V != version:
		c.end(wire.CloseTooOld, fmt.Sprintf("the server speaks version %d of the protocol", version))
	case c.greeted:
		c.end(websocket.ClosePolicyViolation, "hello was said already")
	}
	if c.code != 0 {
		c.h.mu.Unlock()
		return nil
	}
	c.greeted = true
	c.control = append(c.control, wire.Push{
		T: "welcome", Epoch: c.h.fleet.epoch, Seq: c.h.fleet.seq, Now: time.Now().UnixMilli(),
		HB: int(c.h.o.Heartbeat.Milliseconds()), Build: c.h.o.Build, You: &c.peer.Me,
	})
	c.wake()
	c.h.mu.Unlock()
	for _, s := range f.Subs {
		if s.Epoch == "" {
			s.Epoch = f.Epoch
		}
		if err := c.subscribe(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// subscribe begins a subscription, or replaces the one of the same id.
func (c *client) subscribe(ctx context.Context, f wire.Frame) error {
	if f.Topic == topicRows || strings.HasPrefix(f.Topic, topicSystem) {
		if err := c.h.startRuns(ctx); err != nil {
			return err
		}
	}
	missing := c.begin(f)
	return c.h.readRows(ctx, missing)
}

// begin registers a subscription and lists the rows that must be read for it.
func (c *client) begin(f wire.Frame) []int {
	h := c.h
	h.mu.Lock()
	defer h.mu.Unlock()
	old := c.subs[f.ID]
	if old == nil && len(c.subs) >= h.o.Subs {
		c.control = append(c.control, wire.Push{T: "err", Sub: f.ID, Code: "limit", Msg: fmt.Sprintf("%d subscriptions, the most of a socket", len(c.subs))})
		c.wake()
		return nil
	}
	s := &sub{id: f.ID, topic: f.Topic, cursor: f.Since}
	var missing []int
	switch {
	case f.Epoch != "" && f.Epoch != h.fleet.epoch && (f.Since > 0 || len(f.IDs) > 0):
		s.reset = "epoch"
	case f.Since > h.fleet.seq:
		s.reset = "gap"
	case f.Topic == topicRows:
		missing = h.beginRows(s, old, f.IDs)
	case f.Topic != topicFleet && f.Since > 0:
		list, ok := h.events.missed(f.Topic, f.Since)
		if !ok || len(list) > h.o.Queue {
			s.reset = "gap"
		} else {
			s.queue = list
		}
	}
	if s.reset != "" {
		s.cursor = h.fleet.seq
	}
	if old != nil {
		h.unsubscribe(c, f.ID)
	}
	c.subs[f.ID] = s
	h.events.subscribe(s)
	c.wake()
	return missing
}

// beginRows takes the rows of a subscription into use. What the subscription
// it replaces did not list is sent whole; the rest only when it changed.
func (h *Hub) beginRows(s, old *sub, ids []int) []int {
	var missing []int
	had := map[int]bool{}
	if old != nil && old.topic == topicRows {
		s.cursor = old.cursor
		for _, handle := range old.rows {
			had[handle] = !old.fresh[handle]
		}
	} else {
		s.cursor = h.fleet.seq
	}
	s.fresh = map[int]bool{}
	for _, handle := range ids {
		if handle < 0 || handle >= len(h.fleet.systems) || h.fleet.systems[handle].gone || slices.Contains(s.rows, handle) {
			continue
		}
		s.rows = append(s.rows, handle)
		if !had[handle] {
			s.fresh[handle] = true
		}
		if h.rows.use(handle) {
			missing = append(missing, handle)
		}
	}
	return missing
}

// unsubscribe ends a subscription, with h.mu held.
func (h *Hub) unsubscribe(c *client, id int) {
	s, ok := c.subs[id]
	if !ok {
		return
	}
	delete(c.subs, id)
	h.events.unsubscribe(s)
	for _, handle := range s.rows {
		h.rows.release(handle)
	}
}
