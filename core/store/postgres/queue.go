package postgres

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// Claim implements [store.Queue].
func (s *Store) Claim(ctx context.Context, now time.Time, lease time.Duration, limit int) ([]store.Claimed, error) {
	var out []store.Claimed
	err := s.write(ctx, "claim deliveries", func(t *tx) error {
		out = nil
		if err := t.rows("due_deliveries", []any{pack.Nanos(now), limit}, func(row scan) error {
			d, err := scanDelivery(row)
			out = append(out, store.Claimed{Delivery: d})
			return err
		}); err != nil {
			return err
		}
		for i := range out {
			if err := t.claim(&out[i], now, lease); err != nil {
				return fmt.Errorf("delivery %d: %w", out[i].ID, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *tx) claim(c *store.Claimed, now time.Time, lease time.Duration) error {
	c.Token, c.Status, c.Updated = rand.Text(), core.DeliveryRunning, now
	c.Attempts++
	if _, err := t.exec("claim_delivery", c.ID, c.Token, pack.Nanos(now.Add(lease)), pack.Nanos(now)); err != nil {
		return err
	}
	if _, err := t.exec("run_firing", c.Delivery.Firing, pack.Nanos(now)); err != nil {
		return err
	}
	var err error
	if err = t.rows("firing", []any{c.Delivery.Firing}, func(row scan) error {
		c.Firing, err = scanFiring(row)
		return err
	}); err != nil {
		return err
	}
	c.Steps, err = t.steps(c.Delivery.Firing)
	return err
}

// steps are the deliveries of a firing in the order in which they began.
func (t *tx) steps(firing string) ([]core.Delivery, error) {
	var out []core.Delivery
	err := t.rows("deliveries_of", []any{[]string{}, pack.MaxSteps, firing}, func(row scan) error {
		d, err := scanDelivery(row)
		out = append(out, d)
		return err
	})
	return out, err
}

// Extend implements [store.Queue].
func (s *Store) Extend(ctx context.Context, id int64, token string, until time.Time) error {
	return s.write(ctx, fmt.Sprintf("extend claim on delivery %d", id), func(t *tx) error {
		n, err := t.exec("extend_delivery", id, token, pack.Nanos(until))
		if err == nil && n == 0 {
			err = store.ErrConflict
		}
		return err
	})
}

// Finish implements [store.Queue].
func (s *Store) Finish(ctx context.Context, d core.Delivery, token string, now time.Time, flow store.Flow) error {
	var trace any
	if d.Trace != nil {
		text, err := json.Marshal(d.Trace)
		if err != nil {
			return fmt.Errorf("write the trace of delivery %d: %w", d.ID, err)
		}
		trace = string(text)
	}
	return s.write(ctx, fmt.Sprintf("finish delivery %d", d.ID), func(t *tx) error {
		switch d.Status {
		case core.DeliveryWaiting, core.DeliveryDone, core.DeliverySkipped, core.DeliveryDead:
		case core.DeliveryRunning, core.DeliveryCancelled:
			return fmt.Errorf("a claim cannot end as %s", d.Status)
		default:
			return fmt.Errorf("a claim cannot end as %q", d.Status)
		}
		if _, err := t.exec("lock_firing_of", d.ID); err != nil {
			return err
		}
		var firing string
		var output any
		if d.Output != nil {
			output = []byte(d.Output)
		}
		found := false
		if err := t.rows("finish_delivery", []any{d.ID, token, string(d.Status), pack.Nanos(d.Next), d.Error, output, pack.Nanos(now), d.Attempts, trace}, func(row scan) error {
			found = true
			return row(&firing)
		}); err != nil {
			return err
		}
		if !found {
			return store.ErrConflict
		}
		return t.follow(firing, now, flow)
	})
}

// follow does what follows in a firing from what its steps have come to.
func (t *tx) follow(firing string, now time.Time, flow store.Flow) error {
	var f core.Firing
	var err error
	if err := t.rows("firing", []any{firing}, func(row scan) error {
		f, err = scanFiring(row)
		return err
	}); err != nil {
		return err
	}
	steps, err := t.steps(firing)
	if err != nil {
		return err
	}
	next := flow(f, steps)
	if len(next.Cancel) > 0 {
		if _, err := t.exec("cancel_places", firing, next.Cancel, pack.Nanos(now)); err != nil {
			return err
		}
	}
	if err := t.begin(&f, next.Begin, now); err != nil {
		return err
	}
	if next.Status == core.FiringRunning {
		return nil
	}
	_, err = t.exec("end_firing", firing, string(next.Status), pack.Nanos(now))
	return err
}

// Resend implements [store.Queue].
func (s *Store) Resend(ctx context.Context, id int64, now time.Time, flow store.Flow) error {
	return s.write(ctx, fmt.Sprintf("resend delivery %d", id), func(t *tx) error {
		if _, err := t.exec("lock_firing_of", id); err != nil {
			return err
		}
		var delivery, firing, status string
		if err := t.row("delivery_state", []any{id}, &delivery, &firing, &status); err != nil {
			return missing(err)
		}
		if core.DeliveryStatus(delivery) != core.DeliveryDead {
			return fmt.Errorf("it is %s and not dead: %w", delivery, store.ErrConflict)
		}
		if core.FiringStatus(status) == core.FiringCancelled {
			return fmt.Errorf("its firing was cancelled: %w", store.ErrConflict)
		}
		var errs []error
		run := func(name string, args ...any) {
			_, err := t.exec(name, args...)
			errs = append(errs, err)
		}
		run("resend_delivery", id, pack.Nanos(now))
		run("run_firing", firing, pack.Nanos(now))
		if err := errors.Join(errs...); err != nil {
			return err
		}
		return t.follow(firing, now, flow)
	})
}

// Next implements [store.Queue].
func (s *Store) Next(ctx context.Context) (time.Time, error) {
	var due int64
	if err := s.readRow(ctx, "next_due", nil, &due); err != nil {
		return time.Time{}, fmt.Errorf("read when the next delivery is due: %w", err)
	}
	return pack.Instant(due), nil
}
