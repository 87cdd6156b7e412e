package collect

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/tocsin-io/tocsin/core"
)

const tcpAnswerCap = 64 << 10

// tcpSchema is the JSON schema of the configuration of tcp.
const tcpSchema = `{
  "type": "object", "additionalProperties": false, "required": ["address"],
  "properties": {
    "address": {"type": "string", "minLength": 1, "description": "host:port to connect to"},
    "send":    {"type": "string", "maxLength": 65536, "description": "text to send after connecting"},
    "expect":  {"type": "string", "maxLength": 65536, "description": "text that the answer must contain"}
  }
}`

type tcpKind struct{ dial DialFunc }

func newTCP(dial DialFunc) *tcpKind { return &tcpKind{dial: dial} }

func (*tcpKind) info() core.CollectorInfo {
	return core.CollectorInfo{
		Name:    "tcp",
		Doc:     "Connects to a TCP port, and sends and expects text if asked to.",
		Schema:  json.RawMessage(tcpSchema),
		Samples: []core.SampleDecl{{Name: "connect_ms", Type: core.NumberSample, Unit: "ms", Doc: "time to connect, the look-up of the host included"}},
		Facts: []core.SampleDecl{
			{Name: "latency", Type: core.DurationSample, Doc: "from the beginning to the end of the exchange"},
			{Name: "answer", Type: core.StringSample, Doc: "what the server sent, at most 64 KiB; empty unless expect is given"},
		},
	}
}

func (k *tcpKind) prepare(config map[string]any) (Collector, error) {
	var c tcpCollector
	if err := decode(config, &c); err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(c.Address)
	if err != nil || host == "" {
		return nil, fmt.Errorf("address: %q must be host:port, for example db.example:5432", c.Address)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("address: %q is not a port; write a number from 1 to 65535", port)
	}
	c.dial = k.dial
	return &c, nil
}

// tcpCollector is tcp with its configuration.
type tcpCollector struct {
	Address string `json:"address"`
	Send    string `json:"send"`
	Expect  string `json:"expect"`
	dial    DialFunc
}

// Collect connects once.
func (c *tcpCollector) Collect(ctx context.Context, _ core.RunContext) core.Result {
	begin := time.Now()
	conn, err := c.dial(ctx, "tcp", c.Address)
	connected := time.Since(begin)
	if err != nil {
		return c.failed(ctx, err, "connecting", connected)
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) }) //nolint:errcheck,gosec // a closed connection needs no deadline
	defer stop()
	answer, doing, err := c.talk(conn)
	took := time.Since(begin)
	if err != nil {
		return c.failed(ctx, err, doing, took)
	}
	r := core.Result{
		Latency: took,
		Summary: "connected in " + millis(connected),
		Samples: core.Samples{"connect_ms": float64(connected.Microseconds()) / 1000},
		Facts:   core.Samples{"latency": took, "answer": text(answer)},
		Phases:  []core.Phase{{Name: "connect", Took: connected}},
	}
	if c.Send != "" || c.Expect != "" {
		r.Phases = append(r.Phases, core.Phase{Name: "exchange", Start: connected, Took: took - connected})
	}
	if c.Expect != "" && !bytes.Contains(answer, []byte(c.Expect)) {
		r.Outcome = core.Fail
		r.Why = core.Because("answer", "the server sent {bytes} bytes and closed without the expected text", "bytes", strconv.Itoa(len(answer)))
		if len(answer) == tcpAnswerCap {
			r.Why = core.Because("answer", "the expected text is not in the first {bytes} bytes that the server sent", "bytes", strconv.Itoa(len(answer)))
		}
		r.Summary = r.Why.Text
	}
	return r
}

// talk sends and reads until the expected text, the end or the cap.
func (c *tcpCollector) talk(conn net.Conn) (answer []byte, doing string, err error) {
	if c.Send != "" {
		if _, err := io.WriteString(conn, c.Send); err != nil {
			return nil, "sending", err
		}
	}
	if c.Expect == "" {
		return nil, "", nil
	}
	buf := make([]byte, 4096)
	for len(answer) < tcpAnswerCap && !bytes.Contains(answer, []byte(c.Expect)) {
		n, err := conn.Read(buf[:min(len(buf), tcpAnswerCap-len(answer))])
		answer = append(answer, buf[:n]...)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return answer, "waiting for the expected text", err
		}
	}
	return answer, "", nil
}

func (c *tcpCollector) failed(ctx context.Context, err error, doing string, took time.Duration) core.Result {
	outcome, why := failure(ctx, err, doing, c.Address, took)
	return core.Result{Outcome: outcome, Why: why, Summary: why.Text, Latency: took, Facts: core.Samples{"latency": took}}
}
