package wasm

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/wasm/abi"
)

// conn is a connection of a guest. It ends with the run.
type conn struct {
	net.Conn
	address string
	grant   string
	buf     []byte // arrived, and not taken by the guest yet
	eof     bool
}

func (c *conn) close() { _ = c.Close() } // nothing is owed to the other side

// has says what is granted, for the text of a refusal.
func (r *run) has(granted string) string {
	if !r.open {
		return "nothing: a module reaches out only while it is asked"
	}
	return granted
}

// endpoint reads host:port and holds it to the grant.
func (r *run) endpoint(address string) (host, grant string, why *abi.CallError) {
	host, port, err := net.SplitHostPort(address)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return "", "", problem(abi.CodeInvalid, "%s is not host:port", clean(address, 200, false))
	}
	grant, ok := find(r.rights.tcp, core.Pattern{Host: core.CanonicalHost(host), Port: port})
	if !ok || !r.open {
		return "", "", problem(abi.CodeDenied, "tcp %s is not granted; granted is %s", clean(address, 200, false), r.has(texts(r.rights.tcp)))
	}
	if r.tcpCalls >= r.limits.TCPCalls {
		return "", "", problem(abi.CodeQuota, "the limit of %d tcp calls is used up", r.limits.TCPCalls)
	}
	r.tcpCalls++
	return host, grant, nil
}

// tcp carries out one operation on a connection.
func (r *run) tcp(ctx context.Context, document []byte) any {
	began := time.Now()
	var q abi.TCPRequest
	answer := &abi.TCPResponse{}
	why := decode(document, &q)
	if why == nil {
		inner, cancel := within(ctx, q.TimeoutMS)
		answer, why = r.operate(inner, &q)
		cancel()
	}
	took := time.Since(began)
	r.askTime += took
	if why != nil {
		answer = &abi.TCPResponse{Error: r.masked(why)}
		r.note("tcp", q.Op+" "+q.Address+": "+why.Error(), began, why.Code != abi.CodeDenied, "")
	}
	answer.DurationMS = millis(took)
	return answer
}

func (r *run) operate(ctx context.Context, q *abi.TCPRequest) (*abi.TCPResponse, *abi.CallError) {
	if q.Op == "dial" {
		return r.dial(ctx, q)
	}
	c := r.conns[q.Conn]
	switch {
	case q.Op != "send" && q.Op != "receive" && q.Op != "close":
		return nil, problem(abi.CodeInvalid, "the op %s is not one of dial, send, receive, close", clean(q.Op, 40, false))
	case c == nil:
		return nil, problem(abi.CodeNotFound, "there is no connection %d in this run", q.Conn)
	case q.Op == "close":
		c.close()
		delete(r.conns, q.Conn)
		return &abi.TCPResponse{}, nil
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer func() {
		if stop() {
			return
		}
		_ = c.SetDeadline(time.Time{})
	}()
	if q.Op == "send" {
		return r.send(c, q)
	}
	return r.receive(c, q)
}

func (r *run) dial(ctx context.Context, q *abi.TCPRequest) (*abi.TCPResponse, *abi.CallError) {
	began := time.Now()
	host, grant, why := r.endpoint(q.Address)
	if why != nil {
		return nil, why
	}
	plain, err := r.client.dial(ctx, "tcp", q.Address)
	if err != nil {
		return nil, explain(err)
	}
	if q.TLS {
		secured := tls.Client(plain, &tls.Config{ServerName: host, MinVersion: tls.VersionTLS12})
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, explain(err)
		}
		plain = secured
	}
	if r.conns == nil {
		r.conns = map[int]*conn{}
	}
	r.conns[r.tcpCalls] = &conn{Conn: plain, address: q.Address, grant: grant}
	r.note("tcp", "dial "+q.Address, began, true, grant)
	return &abi.TCPResponse{Conn: r.tcpCalls}, nil
}

// left is what may still go over connections, both ways.
func (r *run) left() int64 { return r.limits.TCPBytes - r.tcpBytes }

func (r *run) send(c *conn, q *abi.TCPRequest) (*abi.TCPResponse, *abi.CallError) {
	began := time.Now()
	if q.Data != "" && len(q.DataBase64) > 0 {
		return nil, problem(abi.CodeInvalid, "data and data_base64 exclude each other")
	}
	data := q.DataBase64
	if q.Data != "" {
		data = []byte(q.Data)
	}
	data, _, why := r.reveal(data)
	if why != nil {
		return nil, why
	}
	if int64(len(data)) > r.left() {
		return nil, problem(abi.CodeQuota, "the limit of %s over tcp is used up", size(r.limits.TCPBytes))
	}
	n, err := c.Write(data)
	r.tcpBytes += int64(n)
	if err != nil {
		return nil, broken(err)
	}
	r.note("tcp", "send "+strconv.Itoa(n)+" bytes to "+c.address, began, true, c.grant)
	return &abi.TCPResponse{Sent: n}, nil
}

// broken explains why nothing came or went over a connection.
func broken(err error) *abi.CallError {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem(abi.CodeTimeout, "no answer in time")
	}
	return explain(err)
}

// receive takes what the guest asks for, and leaves the rest for the next call.
func (r *run) receive(c *conn, q *abi.TCPRequest) (*abi.TCPResponse, *abi.CallError) {
	began := time.Now()
	most := q.Max
	if most <= 0 {
		most = receiveBytes
	}
	most = min(most, maxReceive)
	part := make([]byte, 16<<10)
	for {
		if n := c.take(r, []byte(q.Until), most); n >= 0 {
			data := c.buf[:n:n]
			c.buf = c.buf[n:]
			answer := &abi.TCPResponse{EOF: c.eof && len(c.buf) == 0}
			if utf8.Valid(data) {
				answer.Data = string(data)
			} else {
				answer.DataBase64 = data
			}
			r.note("tcp", "receive "+strconv.Itoa(n)+" bytes from "+c.address, began, true, c.grant)
			return answer, nil
		}
		room := min(int64(len(part)), r.left())
		if room <= 0 {
			return nil, problem(abi.CodeQuota, "the limit of %s over tcp is used up", size(r.limits.TCPBytes))
		}
		n, err := c.Read(part[:room])
		r.tcpBytes += int64(n)
		c.buf = r.hideBytes(append(c.buf, part[:n]...))
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			c.eof = true
		case n == 0:
			return nil, broken(err)
		}
	}
}

// take says how many bytes of what arrived a receive answers with, -1: it has
// to wait for more. What could be the beginning of a value that must not be
// shown stays until it is known to be none.
func (c *conn) take(r *run, until []byte, most int) int {
	ready := len(c.buf)
	if held := r.held(c.buf); held > 0 {
		ready -= held
		if c.eof { // it is not the whole value, and still no part of it is shown
			c.buf = append(c.buf[:ready:ready], hidden...)
			ready = len(c.buf)
		}
	}
	if len(until) > 0 {
		if i := bytes.Index(c.buf[:ready], until); i >= 0 {
			return min(i+len(until), most)
		}
		if ready < most && !c.eof {
			return -1
		}
	}
	if ready == 0 && !c.eof {
		return -1
	}
	return min(ready, most)
}
