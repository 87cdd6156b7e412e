package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

// ChannelStore is the storage that channels need.
type ChannelStore interface {
	Object(ctx context.Context, kind store.Kind, id string) (store.Object, error)
	Firing(ctx context.Context, id string) (core.Firing, error)
	Deliveries(ctx context.Context, firing string, status []core.DeliveryStatus, limit int) ([]core.Delivery, error)
}

// Channels opens the channels that are stored. It is safe for concurrent use.
type Channels struct {
	store  ChannelStore
	secret func(name string) (string, error)
	scope  *lang.Scope
}

var _ action.Channels = (*Channels)(nil)

// NewChannels is Channels over what is stored. Secret resolves a
// {secret: name} reference; nil: there are none.
func NewChannels(s ChannelStore, secret func(name string) (string, error)) (*Channels, error) {
	if secret == nil {
		secret = func(name string) (string, error) { return "", fmt.Errorf("there is no secret %q", name) }
	}
	scope, err := lang.StructScope(action.Message{})
	if err != nil {
		return nil, fmt.Errorf("make the environment of channels: %w", err)
	}
	return &Channels{store: s, secret: secret, scope: scope}, nil
}

// Validate reports everything that is wrong with a channel.
func (c *Channels) Validate(ch core.Channel) core.Problems {
	out := action.CheckChannel(ch)
	_, problems := lang.CompileValue(c.scope, ch.With)
	return append(out, problems.Under("with")...)
}

// Open implements [action.Channels].
func (c *Channels) Open(ctx context.Context, id string, m action.Message) (core.Channel, error) {
	o, err := c.store.Object(ctx, store.Channels, id)
	if err != nil {
		return core.Channel{}, fmt.Errorf("read channel %s: %w", id, err)
	}
	var ch core.Channel
	if err := json.Unmarshal(o.Body, &ch); err != nil {
		return core.Channel{}, fmt.Errorf("read channel %s: %w", id, err)
	}
	v, problems := lang.CompileValue(c.scope, ch.With)
	if err := problems.Under("with").Err(); err != nil {
		return core.Channel{}, err
	}
	filled, err := v.Render(&m)
	if err != nil {
		return core.Channel{}, fmt.Errorf("fill the texts of channel %s: %w", id, err)
	}
	if filled, err = reveal(filled, c.secret); err != nil {
		return core.Channel{}, err
	}
	ch.With, _ = filled.(map[string]any)
	return ch, nil
}

// Told implements [action.Channels]. The firings of an episode are numbered
// from 1; where the oldest is no longer stored, it is taken to have told.
func (c *Channels) Told(ctx context.Context, episode, step string) (bool, error) {
	for n := 1; ; n++ {
		f, err := c.store.Firing(ctx, episode+"~"+strconv.Itoa(n))
		if errors.Is(err, store.ErrNotFound) {
			return n == 1, nil
		}
		if err != nil {
			return false, fmt.Errorf("read firing %d of episode %s: %w", n, episode, err)
		}
		done, err := c.store.Deliveries(ctx, f.ID, []core.DeliveryStatus{core.DeliveryDone}, 1000)
		if err != nil {
			return false, fmt.Errorf("read the deliveries of %s: %w", f.ID, err)
		}
		if slices.ContainsFunc(done, func(d core.Delivery) bool { return d.Step.Name(d.Place) == step }) {
			return true, nil
		}
	}
}

// recoveries are the steps that tell the channels which the steps of a rule
// told of a problem that it is over.
func recoveries(do []core.Step) []core.Step {
	var out []core.Step
	for _, s := range core.Steps("do", core.Named(do)) {
		if s.Action != "notify" || s.With["recovery"] == false {
			continue
		}
		with := map[string]any{"of": s.ID}
		for _, name := range []string{"channel", "title", "body", "severity"} {
			v, ok := s.With[name]
			if text, isText := v.(string); isText && strings.Contains(text, "steps.") { // what is not known then
				v, ok = map[string]any{"title": "${subject.id} is ${health}", "body": "${why}", "severity": "warning"}[name]
			}
			if ok {
				with[name] = v
			}
		}
		out = append(out, core.Step{ID: s.ID + "_recovered", Action: "notify", With: with, Timeout: s.Timeout, Retry: s.Retry, ContinueOnError: true})
	}
	return out
}
