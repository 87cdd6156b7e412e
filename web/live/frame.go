package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/web/wire"
)

// version of the protocol.
const version = 1

// Decode reads one frame from a browser and checks its shape: unknown fields,
// a second value behind the first and numbers out of bounds are refused.
func Decode(text []byte) (wire.Frame, error) {
	var f wire.Frame
	if len(text) > MaxFrame {
		return f, fmt.Errorf("a frame of %d bytes, the most is %d", len(text), MaxFrame)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return wire.Frame{}, fmt.Errorf("decode the frame: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return wire.Frame{}, errors.New("decode the frame: there is something behind it")
	}
	if err := check(f); err != nil {
		return wire.Frame{}, err
	}
	return f, nil
}

func check(f wire.Frame) error {
	switch f.T {
	case "hello":
		for _, s := range f.Subs {
			if s.T != "sub" && s.T != "" {
				return fmt.Errorf("hello can hold sub frames only, not %q", s.T)
			}
			if err := checkSub(s); err != nil {
				return err
			}
		}
		return nil
	case "sub":
		return checkSub(f)
	case "unsub", "hz", "pause":
		return nil
	}
	return fmt.Errorf("%q is not a frame; one of hello, sub, unsub, hz, pause", f.T)
}

func checkSub(f wire.Frame) error {
	switch {
	case f.ID <= 0:
		return errors.New("a sub needs an id greater than 0")
	case len(f.Subs) > 0:
		return errors.New("a sub holds no subs")
	case len(f.IDs) > MaxRows:
		return fmt.Errorf("rows of %d systems, the most is %d", len(f.IDs), MaxRows)
	case len(f.IDs) > 0 && f.Topic != topicRows:
		return errors.New("only the topic rows has ids")
	case f.Since < 0:
		return errors.New("since is negative")
	}
	return checkTopic(f.Topic)
}

func checkTopic(topic string) error {
	switch topic {
	case topicFleet, topicRows, topicActivity:
		return nil
	}
	for _, prefix := range []string{topicSystem, topicRule} {
		if len(topic) > len(prefix) && topic[:len(prefix)] == prefix {
			if err := core.CheckName(topic[len(prefix):]); err != nil {
				return fmt.Errorf("topic %.40q: %w", topic, err)
			}
			return nil
		}
	}
	return fmt.Errorf("%.40q is not a topic; one of fleet, rows, activity, system:ID, rule:ID", topic)
}

// frame is an encoded frame to a browser, shared by the sockets that are sent
// the same.
type frame struct {
	prepare func() (*websocket.PreparedMessage, error)
}

// frameKey names a fleet delta: it is the same for all sockets that gave their
// subscription the same id and were told as much.
type frameKey struct {
	sub      int
	from, to int64
}

// push is p as a frame, encoded when it is first sent.
func push(p wire.Push) *frame {
	return &frame{sync.OnceValues(func() (*websocket.PreparedMessage, error) {
		text, err := json.Marshal(p)
		if err != nil {
			return nil, fmt.Errorf("encode a frame: %w", err)
		}
		return prepared(text)
	})}
}

// pushEvents is a frame of events, each of which is encoded once for all.
func pushEvents(sub int, list []*event) *frame {
	return &frame{func() (*websocket.PreparedMessage, error) {
		var b bytes.Buffer
		fmt.Fprintf(&b, `{"t":"e","sub":%d,"seq":%d,"ev":[`, sub, list[len(list)-1].seq)
		for i, e := range list {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(e.text())
		}
		b.WriteString("]}")
		return prepared(b.Bytes())
	}}
}

func prepared(text []byte) (*websocket.PreparedMessage, error) {
	m, err := websocket.NewPreparedMessage(websocket.TextMessage, text)
	if err != nil {
		return nil, fmt.Errorf("prepare a frame: %w", err)
	}
	return m, nil
}
