package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
)

// Message is what a channel is told.
type Message struct {
	Title    string    `expr:"title" json:"title" doc:"one line"`
	Body     string    `expr:"body" json:"body" doc:"text, may be empty"`
	Status   string    `expr:"status" json:"status" doc:"what it is about" enum:"problem,recovered,test"`
	Severity string    `expr:"severity" json:"severity" doc:"as the step says" enum:"info,warning,critical"`
	Rule     string    `expr:"rule" json:"rule" doc:"id of the rule"`
	System   string    `expr:"system" json:"system" doc:"id of the system; of a group empty"`
	Subject  string    `expr:"subject" json:"subject" doc:"id of what it is about"`
	Episode  string    `expr:"episode" json:"episode" doc:"the same in all messages about one problem"`
	Key      string    `expr:"key" json:"key" doc:"the same in every attempt to send this message"`
	At       time.Time `expr:"at" json:"at" doc:"when it happened"`
}

// The values of Message.Status.
const (
	Problem   = "problem"
	Recovered = "recovered"
	Test      = "test"
)

// Channels is what notify needs of the program.
type Channels interface {
	// Open is a channel for a message: its texts are filled and its secrets
	// resolved. The error is [store.ErrNotFound] when there is none.
	Open(ctx context.Context, id string, m Message) (core.Channel, error)
	// Told reports whether a step of any firing of an episode is done.
	Told(ctx context.Context, episode, step string) (bool, error)
}

// Notify tells a channel. It takes channel, title, body, severity (info,
// warning or critical; default warning) and recovery: unless that is false, the
// channel is told of the end of the problem once, if it was told of the
// problem. Of names the step that told of the problem; Tocsin itself adds the
// steps that have it. Its output is {sent}.
type Notify struct {
	channels Channels
	webhook  *Webhook
	email    *email
}

var (
	_ Action = (*Notify)(nil)
	_ Typed  = (*Notify)(nil)
)

// NewNotify makes the action notify. All connections go through dial; nil
// refuses every one.
func NewNotify(c Channels, dial DialContext) *Notify {
	return &Notify{channels: c, webhook: NewWebhook(dial), email: &email{dial}}
}

func severities() []string { return []string{"info", "warning", "critical"} }

// Check implements [Action].
func (*Notify) Check(with map[string]any) core.Problems {
	out := fields(with, []string{"body", "channel", "of", "recovery", "severity", "title"}, []string{"channel", "title"})
	bad := func(path, message, fix string) {
		out = append(out, core.Problem{Path: path, Code: "notify", Message: message, Fix: fix})
	}
	for _, name := range []string{"body", "channel", "of", "severity", "title"} {
		if v, ok := with[name]; ok && v != nil {
			if _, text := v.(string); !text {
				bad(name, "is not text", "")
			}
		}
	}
	if text, ok := with["severity"].(string); ok && !strings.Contains(text, "${") && !slices.Contains(severities(), text) {
		bad("severity", fmt.Sprintf("%q is not a severity", text), "there are "+strings.Join(severities(), ", "))
	}
	if v, ok := with["recovery"]; ok {
		if _, boolean := v.(bool); !boolean {
			bad("recovery", "is not true or false", "write recovery: false, to tell of problems alone")
		}
	}
	return out
}

// Outputs implements [Action].
func (*Notify) Outputs() []string { return []string{"sent"} }

// Types implements [Typed].
func (*Notify) Types() map[string]core.SampleType {
	return map[string]core.SampleType{"sent": core.BoolSample}
}

// Channel implements [Action].
func (*Notify) Channel(with map[string]any) string {
	id, _ := with["channel"].(string)
	return "channel " + id
}

// Do implements [Action].
func (n *Notify) Do(ctx context.Context, call Call) (map[string]any, error) {
	if n.channels == nil {
		return nil, errors.New("there are no channels here")
	}
	text := func(name string) string {
		s, _ := call.With[name].(string)
		return s
	}
	m := Message{
		Title: text("title"), Body: text("body"), Status: Problem, Severity: cmp.Or(text("severity"), "warning"), Rule: call.Rule,
		System: call.System, Subject: call.Subject.ID, Episode: call.Episode, Key: call.Key, At: call.At,
	}
	if !slices.Contains(severities(), m.Severity) {
		return nil, &RefusedError{Reason: fmt.Sprintf("severity: %q is none of %s", m.Severity, strings.Join(severities(), ", "))}
	}
	if step := text("of"); step != "" {
		told, err := n.channels.Told(ctx, call.Episode, step)
		if err != nil {
			return nil, fmt.Errorf("find out whether the problem was told: %w", err)
		}
		if !told {
			return map[string]any{"sent": false}, nil
		}
		m.Status, m.Title = Recovered, "Recovered: "+m.Title
	}
	if err := n.Send(ctx, text("channel"), m); err != nil {
		return nil, err
	}
	return map[string]any{"sent": true}, nil
}

// Send tells a channel once.
func (n *Notify) Send(ctx context.Context, id string, m Message) error {
	m.Title = oneLine(m.Title)
	c, err := n.channels.Open(ctx, id, m)
	if errors.Is(err, store.ErrNotFound) {
		return &RefusedError{Reason: fmt.Sprintf("there is no channel %q", id)}
	}
	if err != nil {
		return fmt.Errorf("open channel %s: %w", id, err)
	}
	call := Call{Key: m.Key, With: c.With}
	switch c.Use {
	case "email":
		return n.email.send(ctx, c.With, m)
	case "slack":
		call.With = slack(c.With, m)
	case "webhook":
		if c.With["body"] == nil {
			call.With = map[string]any{"url": c.With["url"], "method": c.With["method"], "headers": c.With["headers"], "body": m}
			if call.With["method"] == nil {
				delete(call.With, "method")
			}
		}
		if headers, ok := call.With["headers"].(map[string]any); ok {
			for name, v := range headers {
				headers[name] = oneLine(fmt.Sprint(v))
			}
		}
	default:
		return &RefusedError{Reason: fmt.Sprintf("channel %s uses %q, which is not known", id, c.Use)}
	}
	_, err = n.webhook.Do(ctx, call)
	return err
}

// oneLine is text that fits into one line of any protocol.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text))
}

// slack is the request to an incoming webhook as Slack, Mattermost and
// Rocket.Chat understand it.
func slack(with map[string]any, m Message) map[string]any {
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	colour := map[string]string{"info": "#439fe0", "warning": "#daa038", "critical": "#d00000"}[m.Severity]
	if m.Status == Recovered {
		colour = "#2eb886"
	}
	attachment := map[string]any{"color": colour, "fallback": escape(m.Title), "title": escape(m.Title), "text": escape(m.Body), "ts": m.At.Unix()}
	return map[string]any{"url": with["url"], "body": map[string]any{"text": "", "attachments": []any{attachment}}}
}

// CheckChannel reports what is wrong with a channel, but for the texts in it.
func CheckChannel(c core.Channel) core.Problems {
	switch c.Use {
	case "webhook":
		return NewWebhook(nil).Check(c.With).Under("with")
	case "slack":
		out := fields(c.With, []string{"url"}, []string{"url"})
		if len(out) == 0 {
			out = NewWebhook(nil).Check(c.With)
		}
		return out.Under("with")
	case "email":
		return checkEmail(c.With).Under("with")
	}
	return core.Problems{{Path: "use", Code: "channel", Message: fmt.Sprintf("%q is not a kind of channel", c.Use), Fix: "there are webhook, slack and email"}}
}
