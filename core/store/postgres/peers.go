package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core/store"
)

// Shelf implements [store.Peers].
func (s *Store) Shelf(ctx context.Context, after int64) (int64, error) {
	now, err := s.shelfVersion(ctx)
	if err == nil && now == after {
		if err = s.await(ctx, &s.shelf, after, s.shelfVersion); err == nil {
			now, err = s.shelfVersion(ctx)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("wait for modules and secrets after %d: %w", after, err)
	}
	return now, nil
}

func (s *Store) shelfVersion(ctx context.Context) (int64, error) {
	var now int64
	err := s.readRow(ctx, "counter", []any{"shelf"}, &now)
	return now, err
}

// askAgain is how often somebody looks for an answer, and without a hint for
// what is asked.
const askAgain = 50 * time.Millisecond

// AskRun implements [store.Peers].
func (s *Store) AskRun(ctx context.Context, assignment string) (string, error) {
	var id int64
	err := s.write(ctx, "ask for a run of "+assignment, func(t *tx) error {
		if err := t.row("ask", []any{assignment}, &id); err != nil {
			return err
		}
		_, err := t.exec("notify", "asks")
		return err
	})
	if err != nil {
		return "", err
	}
	defer func() {
		ctx, cancel := s.started(ctx)
		defer cancel()
		_ = s.write(ctx, "forget asks", func(t *tx) error { // what stays is deleted with a later one
			_, err := t.exec("forget_asks", id)
			return err
		})
	}()
	for {
		var outcome *string
		if err := s.readRow(ctx, "answer_of", []any{id}, &outcome); err != nil {
			return "", fmt.Errorf("wait for a run of %s: %w", assignment, err)
		}
		if outcome != nil {
			return *outcome, nil
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(askAgain):
		}
	}
}

// Asked implements [store.Peers].
func (s *Store) Asked(ctx context.Context) ([]store.Ask, error) {
	for {
		hint := s.asks.changed()
		out, err := s.takeAsks(ctx)
		if err != nil || len(out) > 0 {
			return out, err
		}
		select {
		case <-hint:
		case <-time.After(time.Second):
		case <-s.closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *Store) takeAsks(ctx context.Context) (out []store.Ask, err error) {
	share, err := s.Share(ctx, -1)
	if err != nil {
		return nil, err
	}
	var ours []int64
	err = s.read(ctx, "open_asks", nil, func(row scan) error {
		var a store.Ask
		err := row(&a.ID, &a.Assignment)
		if share.Holds(a.Assignment) {
			ours = append(ours, a.ID)
		}
		return err
	})
	if err == nil && len(ours) > 0 {
		err = s.write(ctx, "take asks", func(t *tx) error {
			out = nil
			return t.rows("take_asks", []any{s.member.id.Load(), ours}, func(row scan) error {
				var a store.Ask
				err := row(&a.ID, &a.Assignment)
				out = append(out, a)
				return err
			})
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read what was asked: %w", err)
	}
	return out, nil
}

// Answer implements [store.Peers].
func (s *Store) Answer(ctx context.Context, ask int64, answer string) error {
	return s.write(ctx, "answer an ask", func(t *tx) error {
		n, err := t.exec("answer", ask, answer)
		if err == nil && n == 0 {
			err = errors.New("nobody waits for it any more")
		}
		return err
	})
}
