package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/lang"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/rules/action"
)

// DeliveryOptions tune a [Deliveries].
type DeliveryOptions struct {
	Workers    int           // steps carried out at once; default 64
	PerChannel int           // of these, of one channel such as a webhook's host; default 8
	Lease      time.Duration // of a claim, renewed while a step runs; default 30s
	Trip       int           // failures in a row that pause a channel; default 5
	Rest       time.Duration // how long the first pause is; default 10s
	// Jitter spreads retries: a number from 0 to 1. Default random.
	Jitter func() float64
	// Secret resolves a {secret: name} reference. Default: there are none.
	Secret func(name string) (string, error)
	// Mask takes secret values out of what is stored. Default: as it is.
	Mask func(string) string
	// Now is the clock by which claims run out and retries come; of several nodes
	// it must be the same. Default time.Now.
	Now func() time.Time
	// Health tells conditions of steps the health of now. Default: they see that
	// of when the rule fired.
	Health Changes
	// Deliver is called with the result of each attempt once it is stored.
	// It must not block. Default: nobody.
	Deliver func(core.Delivery)
}

func (o DeliveryOptions) withDefaults() DeliveryOptions {
	or := func(field *int, value int) {
		if *field <= 0 {
			*field = value
		}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	or(&o.Workers, 64)
	or(&o.PerChannel, 8)
	or(&o.Trip, 5)
	if o.Lease <= 0 {
		o.Lease = 30 * time.Second
	}
	if o.Rest <= 0 {
		o.Rest = 10 * time.Second
	}
	if o.Jitter == nil {
		o.Jitter = rand.Float64
	}
	if o.Secret == nil {
		o.Secret = func(name string) (string, error) { return "", fmt.Errorf("there is no secret %q", name) }
	}
	if o.Mask == nil {
		o.Mask = func(s string) string { return s }
	}
	return o
}

// Deliveries carries out the steps of firings from the durable queue: at least
// once, in the order that [Advance] says, with the same key in every attempt. A
// step that is being carried out is not interrupted by a cancellation; the steps
// after it are not begun.
type Deliveries struct {
	queue    store.Queue
	compiler *Compiler
	log      *slog.Logger
	o        DeliveryOptions
	channels *channels

	hint    chan struct{}
	settled chan struct{}

	mu       sync.Mutex
	inflight map[string]inflight // by firing; guarded by mu
}

// inflight is a firing of which steps are being carried out.
type inflight struct {
	rule  string
	steps int
}

var _ Sender = (*Deliveries)(nil)

// NewDeliveries makes a Deliveries that carries out the actions of the
// compiler. It does nothing until [Deliveries.Run].
func NewDeliveries(q store.Queue, c *Compiler, log *slog.Logger, o DeliveryOptions) *Deliveries {
	o = o.withDefaults()
	return &Deliveries{
		queue: q, compiler: c, log: log, o: o, channels: newChannels(o.PerChannel, o.Trip, o.Rest),
		hint: make(chan struct{}, 1), settled: make(chan struct{}, 1), inflight: map[string]inflight{},
	}
}

// Hint implements [Sender].
func (d *Deliveries) Hint() { poke(d.hint) }

// Settled implements [Sender].
func (d *Deliveries) Settled() <-chan struct{} { return d.settled }

// Inflight implements [Sender].
func (d *Deliveries) Inflight() map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]string, len(d.inflight))
	for id, f := range d.inflight {
		out[id] = f.rule
	}
	return out
}

// Paused lists the channels that are not sent to for now because they kept
// failing, and until when.
func (d *Deliveries) Paused() map[string]time.Time { return d.channels.open(d.o.Now()) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Run carries out deliveries until ctx ends. Steps that are being carried out
// then are interrupted, and tried again after the next start.
func (d *Deliveries) Run(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	free := make(chan struct{}, d.o.Workers)
	done := make(chan struct{}, 1)
	for ctx.Err() == nil {
		room := d.o.Workers - len(free)
		var claimed []store.Claimed
		if room > 0 {
			var err error
			claimed, err = retry(ctx, d.log, "claim deliveries", func(ctx context.Context) ([]store.Claimed, error) {
				return d.queue.Claim(ctx, d.o.Now(), d.o.Lease, room)
			})
			if err != nil {
				return ended(ctx, err)
			}
		}
		for _, c := range claimed {
			free <- struct{}{}
			d.note(c, true)
			running.Go(func() {
				d.carry(ctx, c)
				d.note(c, false)
				<-free
				poke(d.settled)
				poke(done)
			})
		}
		if len(claimed) == 0 {
			d.rest(ctx, done)
		}
	}
	return nil
}

func (d *Deliveries) note(c store.Claimed, begins bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.inflight[c.Delivery.Firing]
	f.rule = c.Rule
	if begins {
		f.steps++
	} else {
		f.steps--
	}
	d.inflight[c.Delivery.Firing] = f
	if f.steps == 0 {
		delete(d.inflight, c.Delivery.Firing)
	}
}

// rest waits until there may be something to claim.
func (d *Deliveries) rest(ctx context.Context, done <-chan struct{}) {
	pause := time.Second // claims of others run out, and hints can be lost
	if next, err := d.queue.Next(ctx); err == nil && !next.IsZero() {
		pause = min(pause, max(5*time.Millisecond, next.Sub(d.o.Now())))
	}
	select {
	case <-ctx.Done():
	case <-d.hint:
	case <-done:
	case <-time.After(pause):
	}
}

// result is what became of an attempt.
type result struct {
	output  map[string]any
	trace   *core.StepTrace
	err     error
	skipped bool
	busy    time.Time // not tried: the channel is busy or paused until then
	again   time.Time // it waits for something, until then
	why     string
}

// carry carries out one claimed delivery and stores what became of it.
func (d *Deliveries) carry(ctx context.Context, c store.Claimed) {
	held, release := context.WithCancel(ctx)
	var beat sync.WaitGroup
	beat.Go(func() { d.hold(held, c) })
	r := d.attempt(ctx, c)
	release()
	beat.Wait()
	if ctx.Err() != nil && r.err != nil {
		return // we are ending: the claim runs out, and the step is tried again with the same key
	}
	now := d.o.Now()
	after := d.settle(c, r, now)
	if ctx.Err() != nil { // done just before the end: that is worth storing
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
	}
	_, err := retry(ctx, d.log, "store a delivery", func(ctx context.Context) (struct{}, error) {
		err := d.queue.Finish(ctx, after, c.Token, now, Advance)
		if errors.Is(err, store.ErrConflict) {
			err = nil // cancelled, or taken over with the same key; it stays what it is
		}
		return struct{}{}, err
	})
	if err == nil && d.o.Deliver != nil {
		d.o.Deliver(after)
	}
}

// hold renews the claim while the step is being carried out.
func (d *Deliveries) hold(ctx context.Context, c store.Claimed) {
	tick := time.NewTicker(d.o.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := d.queue.Extend(ctx, c.ID, c.Token, d.o.Now().Add(d.o.Lease))
		if errors.Is(err, store.ErrConflict) {
			return // cancelled: what has begun is not interrupted
		}
		if err != nil && ctx.Err() == nil {
			d.log.WarnContext(ctx, "renew the claim of a delivery", slog.Int64("delivery", c.ID), slog.Any("err", err))
		}
	}
}

// attempt carries out the step once.
func (d *Deliveries) attempt(ctx context.Context, c store.Claimed) (r result) {
	defer func() {
		if p := recover(); p != nil {
			r = result{err: &action.RefusedError{Reason: fmt.Sprintf("the action failed badly: %v", p)}}
		}
	}()
	s := find(c.Firing.Steps, c.Place)
	if s == nil {
		return result{err: &action.RefusedError{Reason: "the firing has no step " + c.Place}}
	}
	env, err := d.stepEnv(c)
	if err != nil {
		return result{err: &action.RefusedError{Reason: err.Error()}}
	}
	if s.If != "" && s.Then == nil && !strings.HasSuffix(c.Place, "]") && len(c.Output) == 0 { // with an output it has begun
		switch run, err := d.condition(ctx, c, &env, s.If); {
		case err != nil:
			return result{err: fmt.Errorf("if: %w", err)}
		case !run:
			return result{skipped: true}
		}
	}
	if s.Action == "" {
		return d.control(ctx, c, s, &env)
	}
	a, problem := d.compiler.action(s.Action)
	switch {
	case problem != nil && isModule(s.Action): // it may be back for the next attempt
		return result{err: errors.New(problem.Message)}
	case problem != nil:
		return result{err: &action.RefusedError{Reason: problem.Message}}
	}
	with, err := d.render(s, a, &env)
	if err != nil {
		return result{err: err}
	}
	channel := a.Channel(with)
	if ok, again, why := d.channels.enter(channel, d.o.Now()); !ok {
		return result{busy: again, why: why}
	}
	timeout := s.Timeout.Std()
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	failed := true
	defer func() { d.channels.leave(channel, failed, d.o.Now()) }()
	trace := &core.StepTrace{}
	r.output, r.err = a.Do(ctx, action.Call{
		With: with, Key: c.Key, Attempt: c.Attempts, Rule: c.Rule, Firing: c.Delivery.Firing, Step: s.ID, Trace: trace,
		Subject: c.Firing.Subject, System: systemOf(c.Firing.Subject), Episode: c.Firing.Episode, At: c.Firing.At,
	})
	if trace.Module != "" {
		r.trace = trace
	}
	if ctx.Err() != nil && r.err != nil {
		r.err = fmt.Errorf("no answer within %s: %w", core.Duration(timeout), r.err)
	}
	_, refused := errors.AsType[*action.RefusedError](r.err)
	failed = r.err != nil && !refused
	return r
}

// render evaluates the texts of a step and resolves its secrets. The error is
// not worth another attempt unless a secret is missing.
func (d *Deliveries) render(s *core.Step, a action.Action, env *StepEnv) (map[string]any, error) {
	v, problems := lang.CompileValue(d.compiler.scopes().step, s.With)
	if err := problems.Err(); err != nil {
		return nil, &action.RefusedError{Reason: "with: " + err.Error()}
	}
	rendered, err := v.Render(env)
	if err != nil {
		return nil, &action.RefusedError{Reason: "with: " + err.Error()}
	}
	if t, ok := a.(action.Trusted); !ok || t.Trusted() {
		if rendered, err = reveal(rendered, d.o.Secret); err != nil {
			return nil, err
		}
	}
	with, _ := rendered.(map[string]any)
	return with, nil
}

// stepEnv is the environment that a delivery is rendered from, with outputs of
// the types that their actions declare.
func (d *Deliveries) stepEnv(c store.Claimed) (StepEnv, error) {
	var env StepEnv
	if err := json.Unmarshal(c.Firing.Env, &env); err != nil {
		return env, fmt.Errorf("read the facts of the firing: %w", err)
	}
	env.Steps, env.Vars = map[string]any{}, map[string]any{}
	for i := range c.Steps { // the newest time of a repeat is the last
		before := &c.Steps[i]
		if before.ID == c.ID || len(before.Output) == 0 || before.Status != core.DeliveryDone || strings.HasSuffix(before.Place, "]") {
			continue
		}
		s := find(c.Firing.Steps, before.Place)
		if s == nil {
			continue
		}
		if err := d.recall(&env, s, before.Output); err != nil {
			return env, fmt.Errorf("read the output of step %s: %w", s.ID, err)
		}
	}
	return env, recallRepeat(&env, c)
}

// recall adds the output of a step to env.
func (d *Deliveries) recall(env *StepEnv, s *core.Step, text json.RawMessage) error {
	var output any
	if err := json.Unmarshal(text, &output); err != nil {
		return err
	}
	env.Steps[s.ID] = output
	fields, ok := output.(map[string]any)
	if !ok {
		return nil
	}
	if s.Let != nil {
		values, _ := fields["values"].(map[string]any)
		types, _ := fields["types"].(map[string]any)
		for name, v := range values {
			t, _ := types[name].(string)
			env.Vars[name] = typedOutput(core.SampleType(t), v)
		}
		env.Steps[s.ID] = map[string]any{}
		return nil
	}
	_, types := flowOutput(s)
	if a, _ := d.compiler.action(s.Action); s.Action != "" {
		if typed, ok := a.(action.Typed); ok {
			types = typed.Types()
		}
	}
	for field, t := range types {
		if v, ok := fields[field]; ok {
			fields[field] = typedOutput(t, v)
		}
	}
	return nil
}

// recallRepeat makes repeat in env that of the innermost repeat around a step.
func recallRepeat(env *StepEnv, c store.Claimed) error {
	open := strings.LastIndexByte(c.Place, '[')
	if open < 0 {
		return nil
	}
	n, _, _ := strings.Cut(c.Place[open+1:], "]")
	k, err := strconv.Atoi(n)
	if err != nil {
		return fmt.Errorf("read place %s: %w", c.Place, err)
	}
	env.Repeat.Index = k
	for i := range c.Steps {
		if c.Steps[i].Place != c.Place[:open] {
			continue
		}
		if items := told(&c.Steps[i]).Items; k < len(items) {
			env.Repeat.Item = items[k]
		}
	}
	return nil
}

// typedOutput is a value as its type says, after it was JSON. One that does not
// fit stays as it is.
func typedOutput(t core.SampleType, v any) any {
	switch x := v.(type) {
	case float64:
		if t == core.IntegerSample && x == float64(int64(x)) {
			return int64(x)
		}
	case string:
		switch t { //nolint:exhaustive // the others are the same in JSON
		case core.DurationSample:
			if d, err := core.ParseDuration(x); err == nil {
				return d.Std()
			}
		case core.TimeSample:
			if at, err := time.Parse(time.RFC3339Nano, x); err == nil {
				return at
			}
		}
	}
	return v
}

// reveal puts the values of secrets in the place of references to them.
func reveal(v any, secret func(name string) (string, error)) (any, error) {
	if name, ok := lang.SecretRef(v); ok {
		value, err := secret(name)
		if err != nil {
			return nil, fmt.Errorf("resolve secret %s: %w", name, err)
		}
		return value, nil
	}
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, inner := range x {
			shown, err := reveal(inner, secret)
			if err != nil {
				return nil, err
			}
			out[k] = shown
		}
		return out, nil
	case []any:
		out := make([]any, len(x))
		for i, inner := range x {
			shown, err := reveal(inner, secret)
			if err != nil {
				return nil, err
			}
			out[i] = shown
		}
		return out, nil
	}
	return v, nil
}

// settle is the delivery after an attempt.
func (d *Deliveries) settle(c store.Claimed, r result, now time.Time) core.Delivery {
	after := c.Delivery
	after.Updated = now
	after.Error = ""
	after.Trace = d.trace(r.trace)
	switch {
	case !r.busy.IsZero():
		after.Status, after.Next, after.Error = core.DeliveryWaiting, r.busy, r.why
		after.Attempts-- // given back untried
		return after
	case !r.again.IsZero():
		after.Status, after.Next = core.DeliveryWaiting, r.again
		after.Output = d.output(r.output)
		after.Attempts-- // it is not tried, but looked at
		return after
	case r.skipped:
		after.Status = core.DeliverySkipped
		return after
	}
	if r.err == nil {
		after.Status = core.DeliveryDone
		after.Output = d.output(r.output)
		return after
	}
	after.Error = d.o.Mask(r.err.Error())
	_, refused := errors.AsType[*action.RefusedError](r.err)
	most := c.Step.Retry.Max
	if most <= 0 {
		most = 8
	}
	if refused || after.Attempts >= most {
		after.Status = core.DeliveryDead
		return after
	}
	after.Status, after.Next = core.DeliveryWaiting, now.Add(d.backoff(c.Step, after.Attempts, r.err))
	return after
}

// Resend makes a dead delivery wait again; see [store.Queue].
func (d *Deliveries) Resend(ctx context.Context, id int64) error {
	err := d.queue.Resend(ctx, id, d.o.Now(), resume)
	if err == nil {
		d.Hint()
	}
	return err
}

// trace is what is stored of a trace, without secrets.
func (d *Deliveries) trace(t *core.StepTrace) *core.StepTrace {
	if t == nil {
		return nil
	}
	t.Summary = d.o.Mask(t.Summary)
	for i := range t.Logs {
		t.Logs[i].Text = d.o.Mask(t.Logs[i].Text)
	}
	return t
}

// output is what is stored of a step's output, without secrets.
func (d *Deliveries) output(v map[string]any) json.RawMessage {
	text, err := json.Marshal(mask(v, d.o.Mask))
	if err != nil {
		return nil // an action's output is plain data
	}
	return text
}

func mask(v any, hide func(string) string) any {
	switch x := v.(type) {
	case string:
		return hide(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, inner := range x {
			out[hide(k)] = mask(inner, hide)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, inner := range x {
			out[i] = mask(inner, hide)
		}
		return out
	}
	return v
}

// backoff is how long to wait before the next attempt: the step's backoff,
// doubled each time up to ten minutes and spread by a fifth either way, and not
// less than the other side asked for.
func (d *Deliveries) backoff(s core.Step, attempts int, err error) time.Duration {
	base := s.Retry.Backoff.Std()
	if base <= 0 {
		base = time.Second
	}
	const most = 10 * time.Minute
	wait := most
	if attempts <= 20 {
		wait = min(most, base<<(attempts-1))
	}
	wait = time.Duration(float64(wait) * (0.8 + 0.4*d.o.Jitter()))
	if later, ok := errors.AsType[*action.LaterError](err); ok {
		wait = max(wait, min(later.After, time.Hour))
	}
	return wait
}
