package action_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

// book is action.Channels over a map.
type book struct {
	channels map[string]core.Channel
	told     bool
}

func (b book) Open(_ context.Context, id string, _ action.Message) (core.Channel, error) {
	c, ok := b.channels[id]
	if !ok {
		return c, store.ErrNotFound
	}
	c.With = maps.Clone(c.With)
	return c, nil
}

func (b book) Told(context.Context, string, string) (bool, error) { return b.told, nil }

// post is a mail server that remembers what it got. It refuses everything to
// nobody@ for good and to busy@ for now.
type post struct {
	mu   sync.Mutex
	mail []string
}

func (p *post) NewSession(*smtp.Conn) (smtp.Session, error) { return &letter{post: p}, nil }

type letter struct {
	post *post
	to   []string
}

func (*letter) Mail(string, *smtp.MailOptions) error { return nil }
func (l *letter) Rcpt(to string, _ *smtp.RcptOptions) error {
	switch {
	case strings.HasPrefix(to, "nobody@"):
		return &smtp.SMTPError{Code: 550, Message: "no such mailbox"}
	case strings.HasPrefix(to, "busy@"):
		return &smtp.SMTPError{Code: 451, Message: "try again later"}
	}
	l.to = append(l.to, to)
	return nil
}

func (l *letter) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	l.post.mu.Lock()
	defer l.post.mu.Unlock()
	l.post.mail = append(l.post.mail, "TO "+strings.Join(l.to, " ")+"\n"+string(text))
	return err
}
func (*letter) Reset()        {}
func (*letter) Logout() error { return nil }

func (p *post) last() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mail) == 0 {
		return ""
	}
	return p.mail[len(p.mail)-1]
}

func TestNotifyByMail(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	box := &post{}
	server := smtp.NewServer(box)
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	port := listener.Addr().(*net.TCPAddr).Port
	channel := func(to any, more map[string]any) core.Channel {
		with := map[string]any{"host": "127.0.0.1", "port": port, "tls": "none", "from": "Tocsin <tocsin@example.com>", "to": to}
		maps.Copy(with, more)
		return core.Channel{ID: "mail", Use: "email", With: with}
	}
	send := func(c core.Channel, told bool, with map[string]any) error {
		n := action.NewNotify(book{map[string]core.Channel{"mail": c}, told}, (&net.Dialer{}).DialContext)
		with["channel"] = "mail"
		_, err := n.Do(t.Context(), action.Call{With: with, Key: "f~1/tell", Rule: "page", Episode: "f", System: "web", Subject: core.Subject{Kind: core.OfSystem, ID: "web"}, At: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)})
		return err
	}
	if err := send(channel([]any{"a@example.com", "b@example.com"}, nil), false, map[string]any{"title": "web is down\r\nBcc: evil@example.com", "body": "503\n.\nQUIT"}); err != nil {
		t.Fatalf("send: %v", err)
	}
	got := box.last()
	for _, want := range []string{"TO a@example.com b@example.com\n", "Subject: web is down  Bcc: evil@example.com\r\n", "Idempotency-Key: f~1/tell\r\n", "Date: Mon, 05 Jan 2026 10:00:00", "503\r\n.\r\nQUIT"} {
		if !strings.Contains(got, want) {
			t.Errorf("the mail lacks %q:\n%s", want, got)
		}
	}
	id := func(text string) string {
		_, rest, _ := strings.Cut(text, "Message-ID: <")
		out, _, _ := strings.Cut(rest, ">")
		return out
	}
	first := id(got)
	if err := send(channel("a@example.com", nil), false, map[string]any{"title": "x"}); err != nil || id(box.last()) != first || first == "" {
		t.Errorf("the same message again has the id %q, want %q (%v)", id(box.last()), first, err)
	}
	count := len(box.mail)
	if err := send(channel("a@example.com", nil), false, map[string]any{"title": "x", "of": "tell"}); err != nil || len(box.mail) != count {
		t.Errorf("the end of a problem that was not told was told: %v", err)
	}
	if err := send(channel("a@example.com", nil), true, map[string]any{"title": "web is healthy", "of": "tell"}); err != nil || !strings.Contains(box.last(), "Subject: Recovered: web is healthy") {
		t.Errorf("the end of a problem that was told: %v\n%s", err, box.last())
	}
	err = send(channel("nobody@example.com", nil), false, map[string]any{"title": "x"})
	if _, refused := errors.AsType[*action.RefusedError](err); !refused {
		t.Errorf("a mailbox that is not there: %v, want it refused for good", err)
	}
	err = send(channel("busy@example.com", nil), false, map[string]any{"title": "x"})
	if _, refused := errors.AsType[*action.RefusedError](err); refused || err == nil {
		t.Errorf("a mailbox that is busy: %v, want another attempt", err)
	}
	err = send(channel("a@example.com", map[string]any{"tls": "starttls"}), false, map[string]any{"title": "x"})
	if err == nil {
		t.Error("mail went out in clear text though TLS was asked for")
	}
}

func TestNotifyByHTTP(t *testing.T) {
	t.Parallel()
	var body, key, title string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		body, key, title = string(text), r.Header.Get("Idempotency-Key"), r.Header.Get("Title")
	}))
	t.Cleanup(server.Close)
	channels := map[string]core.Channel{
		"hook":  {Use: "webhook", With: map[string]any{"url": server.URL}},
		"ntfy":  {Use: "webhook", With: map[string]any{"url": server.URL, "headers": map[string]any{"Title": "a\r\nX-Evil: 1"}, "body": "text"}},
		"slack": {Use: "slack", With: map[string]any{"url": server.URL}},
		"odd":   {Use: "pigeon"},
	}
	n := action.NewNotify(book{channels: channels}, (&net.Dialer{}).DialContext)
	do := func(channel string) error {
		_, err := n.Do(t.Context(), action.Call{
			With: map[string]any{"channel": channel, "title": "<!channel> & co", "body": "a < b", "severity": "critical"}, Key: "k", Rule: "page", Episode: "e", System: "web",
		})
		return err
	}
	if err := do("hook"); err != nil {
		t.Fatal(err)
	}
	var m action.Message
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Title != "<!channel> & co" || m.Status != "problem" || m.Severity != "critical" || m.Episode != "e" || key != "k" {
		t.Errorf("webhook got %s with key %q (%v)", body, key, err)
	}
	if err := do("ntfy"); err != nil || body != "text" || title != "a  X-Evil: 1" {
		t.Errorf("ntfy got %q titled %q (%v)", body, title, err)
	}
	var chat struct {
		Attachments []struct {
			Title string `json:"title"`
			Text  string `json:"text"`
			Color string `json:"color"`
		} `json:"attachments"`
	}
	if err := do("slack"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(body), &chat); err != nil || len(chat.Attachments) != 1 || chat.Attachments[0].Title != "&lt;!channel&gt; &amp; co" || chat.Attachments[0].Text != "a &lt; b" {
		t.Errorf("slack got %s (%v)", body, err)
	}
	for channel, want := range map[string]string{"none": `there is no channel "none"`, "odd": `"pigeon", which is not known`} {
		err := do(channel)
		if _, refused := errors.AsType[*action.RefusedError](err); !refused || !strings.Contains(err.Error(), want) {
			t.Errorf("channel %s: %v, want %s", channel, err, want)
		}
	}
	closed := action.NewNotify(book{channels: channels}, nil)
	if err := closed.Send(t.Context(), "hook", action.Message{}); err == nil || !strings.Contains(err.Error(), "the network is closed") {
		t.Errorf("a message went around the dialer: %v", err)
	}
}

func TestCheckChannel(t *testing.T) {
	t.Parallel()
	secret := map[string]any{"secret": "s"}
	mail := func(more map[string]any) core.Channel {
		with := map[string]any{"host": "h", "from": "a@b", "to": "c@d"}
		maps.Copy(with, more)
		return core.Channel{Use: "email", With: with}
	}
	for _, test := range []struct {
		channel core.Channel
		want    string
	}{
		{core.Channel{Use: "slack", With: map[string]any{"url": secret}}, ""},
		{mail(map[string]any{"username": "u", "password": secret, "port": 465, "tls": "tls"}), ""},
		{core.Channel{Use: "webhook", With: map[string]any{"url": "https://x.example"}}, ""},
		{core.Channel{Use: "pager"}, "there are webhook, slack and email"},
		{core.Channel{Use: "slack", With: map[string]any{}}, "with.url: url is missing"},
		{core.Channel{Use: "slack", With: map[string]any{"url": "x"}}, "with.url: does not begin with http"},
		{mail(map[string]any{"password": "hunter2"}), "with.password: is not a reference to a secret"},
		{mail(map[string]any{"password": secret, "tls": "none"}), "with.tls: a password would be sent in clear text"},
		{mail(map[string]any{"tls": "maybe"}), "there are starttls, tls, none"},
		{mail(map[string]any{"port": 70000}), "with.port: 70000 is not a port"},
		{mail(map[string]any{"to": []any{1}}), "with.to: is not an address"},
	} {
		got := action.CheckChannel(test.channel)
		if test.want == "" && len(got) > 0 || test.want != "" && (len(got) != 1 || !strings.Contains(got[0].Error(), test.want)) {
			t.Errorf("%s %v: got %v, want %q", test.channel.Use, test.channel.With, got, test.want)
		}
	}
	for _, with := range []map[string]any{{"channel": "c"}, {"title": "t"}, {"channel": "c", "title": "t", "severity": "bad"}, {"channel": "c", "title": "t", "recovery": "no"}, {"channel": 1, "title": "t"}} {
		if got := action.Known()["notify"].Check(with); len(got) != 1 {
			t.Errorf("notify %v: got %v, want one problem", with, got)
		}
	}
}
