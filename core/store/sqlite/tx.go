package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
)

// tx is the transaction of whoever holds the turn.
type tx struct {
	s   *Store
	ctx context.Context //nolint:containedctx // lives as long as one call of write
}

// write runs do in one transaction, alone. When it fails nothing of it stays,
// and undo, which may be nil, has been called. Once begun, a transaction is
// not interrupted by the end of ctx: it is short, and its outcome must be
// known.
func (s *Store) write(ctx context.Context, what string, do func(*tx) error, undo func()) error {
	if err := s.take(ctx); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer s.give()
	t := &tx{s: s, ctx: context.WithoutCancel(ctx)}
	if err := t.run(do); err != nil {
		if undo != nil {
			undo()
		}
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// take waits for the turn to write.
func (s *Store) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-s.closed:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *Store) give() { <-s.turn }

func (t *tx) run(do func(*tx) error) error {
	if _, err := t.s.conn.ExecContext(t.ctx, "BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	err := do(t)
	if err == nil {
		if _, err = t.s.conn.ExecContext(t.ctx, "COMMIT"); err == nil {
			return nil
		}
		err = fmt.Errorf("commit: %w", err)
	}
	// SQLite has rolled back by itself after some faults, and then says that
	// there is no transaction: that is not a fault of its own.
	_, _ = t.s.conn.ExecContext(t.ctx, "ROLLBACK")
	return err
}

// stmt is the named query, prepared on the writing connection.
func (t *tx) stmt(name string) (*sql.Stmt, error) {
	if stmt, ok := t.s.writes[name]; ok {
		return stmt, nil
	}
	text, ok := t.s.texts[name]
	if !ok {
		return nil, fmt.Errorf("there is no query %q", name)
	}
	stmt, err := t.s.conn.PrepareContext(t.ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	t.s.writes[name] = stmt
	return stmt, nil
}

// exec runs the named query and returns how many rows it changed.
func (t *tx) exec(name string, args ...any) (int64, error) {
	stmt, err := t.stmt(name) //nolint:sqlclosecheck // closed with the store
	if err != nil {
		return 0, err
	}
	result, err := stmt.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", name, err)
	}
	return result.RowsAffected()
}

// bulkWriter collects the rows of an INSERT and writes them a bulk at a time.
type bulkWriter struct {
	name    string
	columns int
	args    []any
}

func (w *bulkWriter) add(t *tx, row ...any) error {
	w.args = append(w.args, row...)
	if len(w.args) < bulk*w.columns {
		return nil
	}
	_, err := t.exec(w.name+many, w.args...)
	w.args = w.args[:0]
	return err
}

// flush writes what is left.
func (w *bulkWriter) flush(t *tx) error {
	for row := range slices.Chunk(w.args, w.columns) {
		if _, err := t.exec(w.name, row...); err != nil {
			return err
		}
	}
	w.args = w.args[:0]
	return nil
}

// row scans the one row of the named query; sql.ErrNoRows when there is none.
func (t *tx) row(name string, args []any, into ...any) error {
	stmt, err := t.stmt(name) //nolint:sqlclosecheck // closed with the store
	if err != nil {
		return err
	}
	if err := stmt.QueryRowContext(t.ctx, args...).Scan(into...); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// rows calls each for every row of the named query.
func (t *tx) rows(name string, args []any, each func(scan) error) error {
	stmt, err := t.stmt(name) //nolint:sqlclosecheck // closed with the store
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(t.ctx, args...)
	return drain(name, rows, err, each)
}

// scan reads the columns of a row.
type scan func(into ...any) error

// read calls each for every row of the named query, on a reading connection.
func (s *Store) read(ctx context.Context, name string, args []any, each func(scan) error) error {
	select {
	case <-s.closed:
		return errClosed
	default:
	}
	stmt, err := s.prepared(ctx, name) //nolint:sqlclosecheck // closed with the store
	if err != nil {
		return err
	}
	rows, err := stmt.QueryContext(ctx, args...)
	return drain(name, rows, err, each)
}

func (s *Store) prepared(ctx context.Context, name string) (*sql.Stmt, error) {
	if found, ok := s.reads.Load(name); ok {
		return found.(*sql.Stmt), nil //nolint:errcheck // only statements are stored
	}
	text, ok := s.texts[name]
	if !ok {
		return nil, fmt.Errorf("there is no query %q", name)
	}
	stmt, err := s.readers.PrepareContext(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("prepare %s: %w", name, err)
	}
	if found, taken := s.reads.LoadOrStore(name, stmt); taken {
		return found.(*sql.Stmt), stmt.Close() //nolint:errcheck,sqlclosecheck // only statements are stored; somebody else was faster
	}
	return stmt, nil
}

// readRow scans the one row of the named query; sql.ErrNoRows when there is
// none.
func (s *Store) readRow(ctx context.Context, name string, args []any, into ...any) error {
	found := false
	err := s.read(ctx, name, args, func(row scan) error {
		found = true
		return row(into...)
	})
	if err == nil && !found {
		return sql.ErrNoRows
	}
	return err
}

func drain(name string, rows *sql.Rows, err error, each func(scan) error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for err == nil && rows.Next() {
		err = each(rows.Scan)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
