package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// decisionCounts is how many decisions that may be trimmed each rule has, as
// far as they were counted.
type decisionCounts struct {
	mu sync.Mutex     // held while a turn is committed
	of map[string]int // guarded by mu
}

// Load implements [store.Journal].
func (s *Store) Load(ctx context.Context) (cursor int64, state map[string][]byte, err error) {
	if err := s.beginTerm(ctx); err != nil {
		return 0, nil, fmt.Errorf("load journal: %w", err)
	}
	state = map[string][]byte{}
	err = s.read(ctx, "journal", nil, func(row scan) error {
		var key *string
		var body []byte
		if err := row(&cursor, &key, &body); err != nil {
			return err
		}
		if key != nil {
			state[*key] = body
		}
		return nil
	})
	if err != nil {
		return 0, nil, fmt.Errorf("load journal: %w", err)
	}
	return cursor, state, nil
}

// beginTerm notes in which epoch of the lease of the rules their journal is
// about to be read: what is decided from it can be committed in that one only.
func (s *Store) beginTerm(ctx context.Context) error {
	var epoch int64
	err := s.readRow(ctx, "lease_of_rules", []any{s.member.id.Load()}, &epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		epoch, err = 0, nil
	}
	if err != nil {
		return fmt.Errorf("read the lease of the rules: %w", err)
	}
	s.member.term.Store(epoch)
	return nil
}

// Commit implements [store.Journal]. The cursor never goes back: a smaller one
// leaves it where it is.
//
//nolint:gocognit // one transaction, from its beginning to its end
func (s *Store) Commit(ctx context.Context, turn store.Turn) error {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	err := s.write(ctx, "commit turn", func(t *tx) error {
		var one int
		switch err := t.row("check_rules", []any{s.member.id.Load(), s.member.term.Load()}, &one); {
		case errors.Is(err, pgx.ErrNoRows):
			return store.ErrFenced
		case err != nil:
			return err
		}
		if _, err := t.exec("set_cursor", turn.Cursor); err != nil {
			return err
		}
		if err := t.putState(turn.State); err != nil {
			return err
		}
		if err := t.putDecisions(turn.Decisions); err != nil {
			return err
		}
		for i := range turn.Firings {
			if err := t.putFiring(&turn.Firings[i], turn.Flow); err != nil {
				return fmt.Errorf("firing %s: %w", turn.Firings[i].ID, err)
			}
		}
		now := s.Now()
		if err := t.wake(turn.Moved, now); err != nil {
			return err
		}
		for _, id := range turn.Cancel {
			if _, err := t.cancel(id, now); err != nil && !errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("cancel firing %s: %w", id, err)
			}
		}
		return nil
	})
	if err != nil {
		clear(s.counts.of) // counted again when needed
	}
	return err
}

// wake lets steps that wait for something of these subjects be claimed.
func (t *tx) wake(subjects []core.Subject, now time.Time) error {
	if len(subjects) == 0 {
		return nil
	}
	watched := map[string]bool{}
	if err := t.rows("watched", nil, func(row scan) error {
		var scope string
		err := row(&scope)
		watched[scope] = true
		return err
	}); err != nil || len(watched) == 0 {
		return err
	}
	moved := map[string]bool{}
	for _, s := range subjects {
		scope, _ := pack.Scope(s)
		moved[scope] = true
	}
	var hit []string
	for scope := range moved {
		if watched[scope] {
			hit = append(hit, scope)
		}
	}
	if len(hit) == 0 {
		return nil
	}
	if err := t.rows("lock_watching", []any{hit}, func(row scan) error { var id string; return row(&id) }); err != nil {
		return err
	}
	_, err := t.exec("wake_deliveries", hit, pack.Nanos(now))
	return err
}

func (t *tx) putState(state map[string][]byte) error {
	for key, body := range state {
		var err error
		if body == nil {
			_, err = t.exec("delete_gate_state", key)
		} else {
			_, err = t.exec("put_gate_state", key, body)
		}
		if err != nil {
			return fmt.Errorf("state of %s: %w", key, err)
		}
	}
	return nil
}

func (t *tx) putDecisions(decisions []core.Decision) error {
	for i := range decisions {
		d := decisions[i]
		d.ID = 0
		body, err := json.Marshal(d)
		if err != nil {
			return fmt.Errorf("write decision of %s: %w", d.Rule, err)
		}
		kept := d.Verdict == core.Fire || d.Verdict == core.Recover
		key, _ := pack.Scope(d.Subject)
		if _, err := t.exec("insert_decision", d.Rule, key, string(d.Verdict), kept, pack.Nanos(d.Decided), string(body)); err != nil {
			return fmt.Errorf("decision of %s: %w", d.Rule, err)
		}
		if kept {
			continue
		}
		if err := t.bound(d.Rule); err != nil {
			return fmt.Errorf("trim decisions of %s: %w", d.Rule, err)
		}
	}
	return nil
}

// bound counts one more decision of rule that may be trimmed, and trims them
// when there are a quarter more than are kept.
func (t *tx) bound(rule string) error {
	counts, keep := t.s.counts.of, t.s.options.KeepDecisions
	n, known := counts[rule]
	if known {
		n++
	} else if err := t.row("count_decisions", []any{rule}, &n); err != nil {
		return err
	}
	if n > keep+keep/4 {
		if _, err := t.exec("trim_decisions", rule, keep); err != nil {
			return err
		}
		n = keep
	}
	counts[rule] = n
	return nil
}

// putFiring stores f with the deliveries that it begins with, unless a firing
// of its id exists.
func (t *tx) putFiring(f *core.Firing, flow store.Flow) error {
	stored := *f
	if stored.Status == "" {
		stored.Status = core.FiringQueued
	}
	next := flow(stored, nil)
	if next.Status != core.FiringRunning {
		stored.Status = next.Status
	}
	body, err := json.Marshal(stored)
	if err != nil {
		return err
	}
	n, err := t.exec("insert_firing", f.ID, f.Rule, pack.Nanos(f.Created), string(stored.Status), string(body))
	if err != nil || n == 0 {
		return err
	}
	return t.begin(f, next.Begin, f.Created)
}

// begin makes deliveries that wait.
func (t *tx) begin(f *core.Firing, deliveries []core.Delivery, now time.Time) error {
	for i := range deliveries {
		d := &deliveries[i]
		step, err := json.Marshal(d.Step)
		if err != nil {
			return fmt.Errorf("step %s: %w", d.Place, err)
		}
		at := d.Next
		if at.IsZero() {
			at = now
		}
		var watch any
		if d.Step.Wait != nil {
			watch, _ = pack.Scope(f.Subject)
		}
		if _, err := t.exec("insert_delivery", f.ID, f.Rule, d.Place, d.Kind, d.Key, string(step), pack.Nanos(at), watch, pack.Nanos(now)); err != nil {
			return fmt.Errorf("step %s: %w", d.Place, err)
		}
	}
	return nil
}

// Cancel implements [store.Journal].
func (s *Store) Cancel(ctx context.Context, firing string, now time.Time) (bool, error) {
	var did bool
	err := s.write(ctx, "cancel firing "+firing, func(t *tx) error {
		var err error
		did, err = t.cancel(firing, now)
		return err
	})
	return did && err == nil, err
}

func (t *tx) cancel(firing string, now time.Time) (bool, error) {
	var status string
	if err := t.row("lock_firing", []any{firing}, &status); err != nil {
		return false, missing(err)
	}
	n, err := t.exec("cancel_firing", firing, pack.Nanos(now))
	if err != nil || n == 0 {
		return false, err
	}
	_, err = t.exec("cancel_deliveries", firing, pack.Nanos(now))
	return true, err
}

// Active implements [store.Journal].
func (s *Store) Active(ctx context.Context, rule string) ([]core.Firing, error) {
	out, err := s.firings(ctx, "active_firings", rule)
	if err != nil {
		return nil, fmt.Errorf("read active firings: %w", err)
	}
	return out, nil
}

// Firing implements [store.Journal].
func (s *Store) Firing(ctx context.Context, id string) (core.Firing, error) {
	out, err := s.firings(ctx, "firing", id)
	if err == nil && len(out) == 0 {
		err = store.ErrNotFound
	}
	if err != nil {
		return core.Firing{}, fmt.Errorf("read firing %s: %w", id, err)
	}
	return out[0], nil
}

func (s *Store) firings(ctx context.Context, query string, args ...any) ([]core.Firing, error) {
	var out []core.Firing
	err := s.read(ctx, query, args, func(row scan) error {
		f, err := scanFiring(row)
		out = append(out, f)
		return err
	})
	return out, err
}

func scanFiring(row scan) (core.Firing, error) {
	var f core.Firing
	var status string
	var body []byte
	if err := row(&status, &body); err != nil {
		return f, err
	}
	if err := json.Unmarshal(body, &f); err != nil {
		return f, fmt.Errorf("firing: %w", err)
	}
	f.Status = core.FiringStatus(status)
	return f, nil
}

// Decisions implements [store.Trace].
func (s *Store) Decisions(ctx context.Context, q store.DecisionQuery) ([]core.Decision, error) {
	name, args := "decisions", []any{q.Before, words(q.Verdicts), pack.Limit(q.Limit)}
	switch {
	case q.Rule != "":
		name, args = "decisions_of_rule", append(args, q.Rule, q.System)
	case q.System != "":
		name, args = "decisions_of_system", append(args, q.System)
	}
	var out []core.Decision
	err := s.read(ctx, name, args, func(row scan) error {
		var id int64
		var body []byte
		if err := row(&id, &body); err != nil {
			return err
		}
		var d core.Decision
		if err := json.Unmarshal(body, &d); err != nil {
			return fmt.Errorf("decision %d: %w", id, err)
		}
		d.ID = id
		out = append(out, d)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read decisions: %w", err)
	}
	return out, nil
}

// Firings implements [store.Trace].
func (s *Store) Firings(ctx context.Context, q store.FiringQuery) ([]core.Firing, error) {
	name, args := "firings", []any{pack.Nanos(q.Before), words(q.Status), pack.Limit(q.Limit)}
	if q.Rule != "" {
		name, args = "firings_of_rule", append(args, q.Rule)
	}
	out, err := s.firings(ctx, name, args...)
	if err != nil {
		return nil, fmt.Errorf("read firings: %w", err)
	}
	return out, nil
}

// Deliveries implements [store.Trace].
func (s *Store) Deliveries(ctx context.Context, firing string, status []core.DeliveryStatus, n int) ([]core.Delivery, error) {
	name, args := "deliveries", []any{words(status), pack.Limit(n)}
	if firing != "" {
		name, args = "deliveries_of", append(args, firing)
	}
	var out []core.Delivery
	err := s.read(ctx, name, args, func(row scan) error {
		d, err := scanDelivery(row)
		out = append(out, d)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return out, nil
}

func scanDelivery(row scan) (core.Delivery, error) {
	var d core.Delivery
	var step, output, trace []byte
	var next, updated int64
	var status string
	if err := row(&d.ID, &d.Firing, &d.Rule, &d.Place, &d.Kind, &step, &d.Key, &status, &d.Attempts, &next, &d.Error, &output, &updated, &trace); err != nil {
		return d, err
	}
	if err := json.Unmarshal(step, &d.Step); err != nil {
		return d, fmt.Errorf("step of delivery %d: %w", d.ID, err)
	}
	if trace != nil {
		if err := json.Unmarshal(trace, &d.Trace); err != nil {
			return d, fmt.Errorf("trace of delivery %d: %w", d.ID, err)
		}
	}
	d.Status, d.Next, d.Updated, d.Output = core.DeliveryStatus(status), pack.Instant(next), pack.Instant(updated), output
	return d, nil
}
