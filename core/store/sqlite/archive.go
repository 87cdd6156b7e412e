package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/tocsin-io/tocsin/core/store/archive"
)

// ErrNotEmpty is returned by [Fill] for a database that holds something.
var ErrNotEmpty = errors.New("the database is not empty")

// Dump gives into every row of the database in dir, as it is at one instant, in
// the order of [archive.Tables]. Another process may have the database open: it
// goes on reading and writing.
func Dump(ctx context.Context, dir string, into archive.Rows) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the database in %s: %w", dir, err)
		}
	}()
	r, err := openReader(ctx, filepath.Join(dir, File), readOnly)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	known, err := migrations()
	switch {
	case err != nil:
		return err
	case r.version > len(known):
		return newer(r.version, len(known))
	case r.version < len(known):
		return fmt.Errorf("%w: it is of version %d and this release writes %d; start 'tocsin serve' of this release with it once, or use the release that wrote it", ErrOlder, r.version, len(known))
	}
	if _, err := r.conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	return dump(ctx, r.conn, into)
}

// dump reads all tables on a connection that is in a transaction.
func dump(ctx context.Context, conn *sql.Conn, into archive.Rows) error {
	for _, t := range archive.Tables() {
		if err := into.Table(&t); err != nil {
			return err
		}
		if err := dumpTable(ctx, conn, &t, into); err != nil {
			return err
		}
	}
	return nil
}

func dumpTable(ctx context.Context, conn *sql.Conn, t *archive.Table, into archive.Rows) error {
	columns := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i] = quoted(c.Name)
		if namesAreText(t, c) {
			columns[i] = "CAST(" + quoted(c.Name) + " AS BLOB)"
		}
	}
	order := make([]string, t.Key)
	for i := range order {
		order[i] = quoted(t.Columns[i].Name)
	}
	query := "SELECT " + strings.Join(columns, ", ") + " FROM " + quoted(t.Name) + " ORDER BY " + strings.Join(order, ", ") //nolint:gosec // names of our own tables
	rows, err := conn.QueryContext(ctx, query)
	values := make([]any, len(columns))
	places := make([]any, len(columns))
	for i := range values {
		places[i] = &values[i]
	}
	return drain(t.Name, rows, err, func(row scan) error {
		if err := row(places...); err != nil {
			return err
		}
		return into.Row(values)
	})
}

// namesAreText tells the one column that is text here and bytes elsewhere:
// modules name samples with whatever bytes they like.
func namesAreText(t *archive.Table, c archive.Column) bool {
	return t.Name == "sample_names" && c.Kind == archive.Bytes
}

func quoted(name string) string { return `"` + name + `"` }

// Fill makes a database in dir of an archive, in one transaction: all of it or
// nothing. The database may be there already when it is empty. What was written
// is read again and compared before it is committed.
func Fill(ctx context.Context, dir string, from *archive.Reader) (err error) {
	s, err := Open(ctx, dir, Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return s.write(ctx, "fill the database in "+dir, func(*tx) error { return fill(ctx, s.conn, from) }, nil)
}

func fill(ctx context.Context, conn *sql.Conn, from *archive.Reader) error {
	if err := mustBeEmpty(ctx, conn); err != nil {
		return err
	}
	restore, err := dropTriggers(ctx, conn)
	if err != nil {
		return err
	}
	for {
		t, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := fillTable(ctx, conn, t, from); err != nil {
			return err
		}
	}
	for _, trigger := range restore {
		if _, err := conn.ExecContext(ctx, trigger); err != nil {
			return err
		}
	}
	if _, err := conn.ExecContext(ctx, settled, bucketOverhead); err != nil {
		return err
	}
	check := archive.NewChecker()
	if err := dump(ctx, conn, check); err != nil {
		return err
	}
	return from.Verify(check)
}

// settled makes of the tables what is derived from them.
const settled = "UPDATE tiers SET bytes = (SELECT coalesce(sum(length(body) + ?), 0) FROM buckets AS b WHERE b.tier = tiers.tier)"

// mustBeEmpty refuses a database that holds more than every new one has.
func mustBeEmpty(ctx context.Context, conn *sql.Conn) error {
	for _, t := range archive.Tables() {
		if t.Seeded {
			continue
		}
		var n int64
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM "+quoted(t.Name)).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: %s has %d rows; name a data directory without a database", ErrNotEmpty, t.Name, n)
		}
	}
	return nil
}

// dropTriggers takes the triggers away, which hold to what happens and not to
// what has happened, and returns what makes them again.
func dropTriggers(ctx context.Context, conn *sql.Conn) (restore []string, err error) {
	var names []string
	rows, err := conn.QueryContext(ctx, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
	err = drain("triggers", rows, err, func(row scan) error {
		var name, text string
		err := row(&name, &text)
		names, restore = append(names, name), append(restore, text)
		return err
	})
	for _, name := range names {
		if err == nil {
			_, err = conn.ExecContext(ctx, "DROP TRIGGER "+quoted(name))
		}
	}
	return restore, err
}

func fillTable(ctx context.Context, conn *sql.Conn, t *archive.Table, from *archive.Reader) (err error) {
	columns, values := make([]string, len(t.Columns)), make([]string, len(t.Columns))
	for i, c := range t.Columns {
		columns[i], values[i] = quoted(c.Name), "?"
		if namesAreText(t, c) {
			values[i] = "CAST(? AS TEXT)"
		}
	}
	if t.Seeded {
		return update(ctx, conn, t, from)
	}
	stmt, err := conn.PrepareContext(ctx, "INSERT INTO "+quoted(t.Name)+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(values, ", ")+")") //nolint:gosec // names of our own tables
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	for {
		row, err := from.Row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := stmt.ExecContext(ctx, row...); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
	}
}

// update writes rows of which there is one each from the beginning.
func update(ctx context.Context, conn *sql.Conn, t *archive.Table, from *archive.Reader) error {
	var set, where []string
	for i, c := range t.Columns {
		pair := fmt.Sprintf("%s = ?%d", quoted(c.Name), i+1)
		if i < t.Key {
			where = append(where, pair)
		} else {
			set = append(set, pair)
		}
	}
	query := "UPDATE " + quoted(t.Name) + " SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(where, " AND ") //nolint:gosec // names of our own tables
	for {
		row, err := from.Row()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		result, err := conn.ExecContext(ctx, query, row...)
		if err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		if n, err := result.RowsAffected(); err != nil || n != 1 {
			return errors.Join(fmt.Errorf("%s: this release has no row %v", t.Name, row[:t.Key]), err)
		}
	}
}
