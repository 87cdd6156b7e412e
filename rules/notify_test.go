package rules_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules"
	"github.com/tocsin-io/tocsin/rules/action"
)

// channel stores a channel.
func (s *site) channel(c core.Channel) {
	s.t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		s.t.Fatal(err)
	}
	_, version, err := s.store.Objects(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	e := store.Edit{Base: version, Now: time.Now(), Put: []store.Object{{Kind: store.Channels, ID: c.ID, Body: body}}}
	if _, err := s.store.Apply(s.t.Context(), e); err != nil {
		s.t.Fatal(err)
	}
}

// told are the messages that the hook got.
func (s *site) told() []action.Message {
	s.t.Helper()
	var out []action.Message
	for _, r := range s.hook.list() {
		var m action.Message
		if err := json.Unmarshal([]byte(r.body), &m); err != nil {
			s.t.Fatalf("%s: %v", r.body, err)
		}
		if m.Key != r.key || r.header.Get("Authorization") != "Bearer t0ken" {
			s.t.Errorf("message %q came with key %q and %q", m.Key, r.key, r.header.Get("Authorization"))
		}
		out = append(out, m)
	}
	return out
}

// TestRecoveryIsToldOnce tells a channel of a problem, which takes attempts,
// within a branch, and of its end once, in another process; of a problem that could not be told
// the end is not told either.
func TestRecoveryIsToldOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	to := func(id, path string) {
		s.channel(core.Channel{ID: id, Use: "webhook", With: map[string]any{
			"url": s.hook.URL + path + "/${system}", "headers": map[string]any{"Authorization": map[string]any{"secret": "token"}},
		}})
	}
	to("oncall", "/oncall")
	to("gone", "/gone")
	s.hook.answer = func(n int, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/gone") {
			w.WriteHeader(http.StatusBadRequest)
		} else if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	tell := func(id, channel string) core.Step {
		return core.Step{ID: id, Action: "notify", With: map[string]any{"channel": channel, "title": "${system.name} is ${to}", "severity": "critical"}, Retry: core.Retry{Backoff: core.Duration(20 * time.Millisecond)}, ContinueOnError: true}
	}
	quiet := tell("quiet", "oncall")
	quiet.If = `system.tags.env == "test"`
	s.apply(1, page(core.Step{If: "to == \"unhealthy\"", Then: []core.Step{tell("tell", "oncall")}}, tell("lost", "gone"), quiet))
	secret := func(string) (string, error) { return "Bearer t0ken", nil }
	mask := func(text string) string { return strings.ReplaceAll(text, "Bearer t0ken", "***") }
	_, stop := s.start(nil, rules.DeliveryOptions{Secret: secret, Mask: mask})
	s.record(core.Fail, 0)
	s.final(1)
	stop()
	if err := s.store.Close(); err != nil { // another process
		t.Fatal(err)
	}
	s.open()
	s.start(nil, rules.DeliveryOptions{Secret: secret, Mask: mask})
	s.record(core.Pass, 0)
	s.final(2)
	var got []string
	var episodes []string
	for _, m := range s.told() {
		got = append(got, m.Status+" "+m.Title+" "+m.Key[strings.LastIndex(m.Key, "/")+1:])
		episodes = append(episodes, m.Episode)
	}
	want := "problem sys-0 is unhealthy tell, problem sys-0 is unhealthy tell, problem sys-0 is unhealthy lost, recovered Recovered: sys-0 is healthy tell_recovered"
	if strings.Join(got, ", ") != want {
		t.Errorf("told %q, want %s", got, want)
	}
	for _, e := range episodes {
		if e != episodes[0] || e == "" {
			t.Errorf("episodes are %q, want one", episodes)
		}
	}
	all, err := s.store.Deliveries(t.Context(), "", nil, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		text, err := json.Marshal(d)
		if err != nil || strings.Contains(string(text), "t0ken") {
			t.Errorf("a delivery holds the secret: %s (%v)", text, err)
		}
	}
}

func TestValidateChannel(t *testing.T) {
	t.Parallel()
	c, err := rules.NewChannels(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	hook := func(body any) core.Channel {
		return core.Channel{ID: "c", Use: "webhook", With: map[string]any{"url": "https://x.example", "body": body}}
	}
	if bad := c.Validate(hook(map[string]any{"text": "${title}", "at": "${at}"})); len(bad) > 0 {
		t.Errorf("a channel with texts: %v", bad)
	}
	bad := c.Validate(hook(map[string]any{"text": "${titel}"}))
	if len(bad) != 1 || bad[0].Path != "with.body.text" || bad[0].Column == 0 || !strings.Contains(bad[0].Error(), `did you mean "title"`) {
		t.Errorf("a text with a mistake: %v", bad)
	}
}
