package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tocsin-io/tocsin/core/store"
)

// scan reads the columns of a row.
type scan func(into ...any) error

// tx is a transaction on a connection of the pool.
type tx struct {
	s   *Store
	ctx context.Context //nolint:containedctx // lives as long as one call of write
	tx  pgx.Tx
}

// text is the named query.
func (s *Store) text(name string) (string, error) {
	text, ok := s.texts[name]
	if !ok {
		return "", fmt.Errorf("there is no query %q", name)
	}
	return text, nil
}

// storable makes of texts among args what Postgres can store: it knows neither
// the character NUL nor bytes that are not UTF-8.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok {
			args[i] = clean(text)
		}
	}
	return args
}

// clean is text with a mark in the place of what Postgres cannot store.
func clean(text string) string {
	if utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// started is the context of a transaction that has begun: the end of ctx does
// not interrupt it, for it is short and its outcome must be known; a server
// that does not answer does.
func (s *Store) started(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.options.StatementTimeout+patience)
}

// patience is how much longer than its statements the answer of a server may
// take.
const patience = 5 * time.Second

// write runs do in one transaction. When it fails nothing of it stays.
func (s *Store) write(ctx context.Context, what string, do func(*tx) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer conn.Release()
	ctx, cancel := s.started(ctx)
	defer cancel()
	err = pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return do(&tx{s, ctx, t}) })
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (s *Store) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-s.closed:
		return nil, errClosed
	default:
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// exec runs the named query and returns how many rows it changed.
func (t *tx) exec(name string, args ...any) (int64, error) {
	text, err := t.s.text(name)
	if err != nil {
		return 0, err
	}
	tag, err := t.tx.Exec(t.ctx, text, storable(args)...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return tag.RowsAffected(), nil
}

// row scans the one row of the named query; pgx.ErrNoRows when there is none.
func (t *tx) row(name string, args []any, into ...any) error {
	text, err := t.s.text(name)
	if err != nil {
		return err
	}
	if err := t.tx.QueryRow(t.ctx, text, storable(args)...).Scan(into...); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// rows calls each for every row of the named query.
func (t *tx) rows(name string, args []any, each func(scan) error) error {
	return query(t.ctx, t.s, t.tx, name, args, each)
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func query(ctx context.Context, s *Store, on querier, name string, args []any, each func(scan) error) error {
	text, err := s.text(name)
	if err != nil {
		return err
	}
	rows, err := on.Query(ctx, text, storable(args)...)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// read calls each for every row of the named query.
func (s *Store) read(ctx context.Context, name string, args []any, each func(scan) error) error {
	conn, err := s.acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return query(ctx, s, conn, name, args, each)
}

// readRow scans the one row of the named query; pgx.ErrNoRows when there is
// none.
func (s *Store) readRow(ctx context.Context, name string, args []any, into ...any) error {
	found := false
	err := s.read(ctx, name, args, func(row scan) error {
		found = true
		return row(into...)
	})
	if err == nil && !found {
		return pgx.ErrNoRows
	}
	return err
}

// missing is err, as store.ErrNotFound when it says that there is no row.
func missing(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return store.ErrNotFound
	}
	return err
}
