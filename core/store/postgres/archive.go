package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core/series"
	"github.com/tocsin-io/tocsin/core/store/archive"
)

var (
	// ErrNotEmpty is returned by [Fill] for a database that holds something.
	ErrNotEmpty = errors.New("the database is not empty")
	// ErrOlder is returned when an earlier release has written the database,
	// and it is only read.
	ErrOlder = errors.New("an earlier release of tocsin has written the database")
	// ErrBusy is returned when processes use a database that must be idle.
	ErrBusy = errors.New("nodes use the database")
	// ErrNoDatabase is returned for a database that tocsin has not written.
	ErrNoDatabase = errors.New("tocsin has written nothing there")
)

// connect makes a connection for one long transaction.
func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = patience
	}
	maps.Copy(config.RuntimeParams, map[string]string{"application_name": "tocsin archive", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"})
	return pgx.ConnectConfig(ctx, config)
}

func disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	_ = conn.Close(ctx) // what was not committed is gone
}

// Dump gives into every row of the database, as it is at one instant, in the
// order of [archive.Tables]. Other processes go on reading and writing.
func Dump(ctx context.Context, url string, into archive.Rows) error {
	return dumpAll(ctx, url, into, false)
}

// DumpIdle is [Dump] of a database that no process uses.
func DumpIdle(ctx context.Context, url string, into archive.Rows) error {
	return dumpAll(ctx, url, into, true)
}

func dumpAll(ctx context.Context, url string, into archive.Rows, idle bool) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	defer disconnect(ctx, conn)
	err = pgx.BeginTxFunc(ctx, conn, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(t pgx.Tx) error {
		known, err := migrations()
		if err != nil {
			return err
		}
		var there bool
		if err := t.QueryRow(ctx, "SELECT to_regclass('migrations') IS NOT NULL").Scan(&there); err != nil {
			return err
		}
		if !there {
			return ErrNoDatabase
		}
		var version int
		if err := t.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM migrations").Scan(&version); err != nil {
			return err
		}
		switch {
		case version > len(known):
			return newer(version, len(known))
		case version < len(known):
			return fmt.Errorf("%w: it is of version %d and this release writes %d; start 'tocsin serve' of this release with it once, or use the release that wrote it", ErrOlder, version, len(known))
		}
		if idle {
			if err := mustBeIdle(ctx, t); err != nil {
				return err
			}
		}
		return dump(ctx, t, into)
	})
	if err != nil {
		return fmt.Errorf("read the database: %w", err)
	}
	return nil
}

func dump(ctx context.Context, t pgx.Tx, into archive.Rows) error {
	for _, table := range archive.Tables() {
		if err := into.Table(&table); err != nil {
			return err
		}
		if err := dumpTable(ctx, t, &table, into); err != nil {
			return fmt.Errorf("%s: %w", table.Name, err)
		}
	}
	return nil
}

// left says which rows of a table are no part of the archive: they are deleted,
// or mean something to the processes of this database only.
func left(table string) string {
	switch table {
	case "runs":
		return " WHERE id > (SELECT floor FROM ledger)"
	case "buckets":
		return " WHERE at >= (SELECT floor FROM tiers WHERE tiers.tier = buckets.tier)"
	case "counters":
		return " WHERE name <> 'shelf'"
	}
	return ""
}

// column is the name of an archived column here.
func column(t *archive.Table, c archive.Column) string {
	if t.Name == "sessions" && c.Name == "user" {
		return "username"
	}
	return c.Name
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func dumpTable(ctx context.Context, t pgx.Tx, table *archive.Table, into archive.Rows) error {
	columns := make([]string, len(table.Columns))
	order := make([]string, table.Key)
	for i, c := range table.Columns {
		name := quoted(column(table, c))
		columns[i] = name + map[archive.Kind]string{archive.Int: "::bigint", archive.Bool: "::integer::bigint", archive.JSON: "::text"}[c.Kind]
		if i < table.Key {
			order[i] = name
			if c.Kind == archive.Text {
				order[i] += ` COLLATE "C"`
			}
		}
	}
	rows, err := t.Query(ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+quoted(table.Name)+left(table.Name)+" ORDER BY "+strings.Join(order, ", "))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return err
		}
		if err := into.Row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Fill puts an archive into the database that url names, in one transaction: all
// of it or nothing. Nothing may be there, and no process may use it. What was
// written is read again and compared before it is committed.
func Fill(ctx context.Context, url string, from *archive.Reader) error {
	conn, err := connect(ctx, url)
	if err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	defer disconnect(ctx, conn)
	if err := migrate(ctx, conn); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	from.Clean = clean
	if err := pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error { return fill(ctx, t, from) }); err != nil {
		return fmt.Errorf("fill the database: %w", err)
	}
	return nil
}

func fill(ctx context.Context, t pgx.Tx, from *archive.Reader) error {
	if err := mustBeEmpty(ctx, t); err != nil {
		return err
	}
	for {
		table, err := from.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if err := fillTable(ctx, t, table, from); err != nil {
			return fmt.Errorf("%s: %w", table.Name, err)
		}
	}
	if _, err := t.Exec(ctx, settled, pgx.QueryExecModeSimpleProtocol); err != nil {
		return err
	}
	check := archive.NewChecker()
	if err := dump(ctx, t, check); err != nil {
		return err
	}
	return from.Verify(check)
}

// settled makes of the tables what is derived from them.
const settled = `
UPDATE ledger SET turn = 1, edited = 1, layout = 1,
  run = greatest((SELECT coalesce(max(id), 0) FROM runs), (SELECT coalesce(max(newest), 0) FROM standings)),
  latest_run = greatest((SELECT coalesce(max(latest), 0) FROM marks WHERE log = 'runs'), (SELECT coalesce(max(ended), 0) FROM runs)),
  seq = (SELECT coalesce(max(seq), 0) FROM transitions),
  latest_transition = greatest((SELECT coalesce(max(latest), 0) FROM marks WHERE log = 'transitions'), (SELECT coalesce(max(at), 0) FROM transitions));
UPDATE ledger SET floor = (SELECT coalesce(min(id) - 1, run) FROM runs);
SELECT setval(pg_get_serial_sequence('decisions', 'id'), greatest(max(id), 1), max(id) IS NOT NULL) FROM decisions;
SELECT setval(pg_get_serial_sequence('firings', 'number'), greatest(max(number), 1), max(number) IS NOT NULL) FROM firings;
SELECT setval(pg_get_serial_sequence('deliveries', 'id'), greatest(max(id), 1), max(id) IS NOT NULL) FROM deliveries;
`

// mustBeEmpty refuses a database that holds more than every new one has, and one
// that somebody uses. Nobody can begin to until the transaction has ended.
func mustBeEmpty(ctx context.Context, t pgx.Tx) error {
	if _, err := t.Exec(ctx, "SELECT 1 FROM ledger FOR UPDATE"); err != nil {
		return err
	}
	if err := mustBeIdle(ctx, t); err != nil {
		return err
	}
	for _, table := range archive.Tables() {
		if table.Seeded {
			continue
		}
		var n int64
		if err := t.QueryRow(ctx, "SELECT count(*) FROM "+quoted(table.Name)).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%w: %s has %d rows; name a new one", ErrNotEmpty, table.Name, n)
		}
	}
	return nil
}

// mustBeIdle refuses a database that a process uses.
func mustBeIdle(ctx context.Context, t pgx.Tx) error {
	var alive string
	err := t.QueryRow(ctx, "SELECT coalesce(string_agg(name, ', ' ORDER BY name), '') FROM nodes WHERE expires >= clock_timestamp()").Scan(&alive)
	if err == nil && alive != "" {
		err = fmt.Errorf("%w: %s; stop them first", ErrBusy, alive)
	}
	return err
}

// fillTable copies the rows of a table. Triggers, which hold to what happens and
// not to what has happened, are off meanwhile.
func fillTable(ctx context.Context, t pgx.Tx, table *archive.Table, from *archive.Reader) error {
	if table.Seeded {
		if _, err := t.Exec(ctx, "DELETE FROM "+quoted(table.Name)+left(table.Name)); err != nil {
			return err
		}
	}
	rows := &feed{from: from, table: table}
	switch table.Name {
	case "runs":
		return fillRuns(ctx, t, rows)
	case "buckets":
		return fillBuckets(ctx, t, rows)
	}
	if _, err := t.Exec(ctx, "ALTER TABLE "+quoted(table.Name)+" DISABLE TRIGGER USER"); err != nil {
		return err
	}
	if err := rows.copy(ctx, t, table.Name); err != nil {
		return err
	}
	_, err := t.Exec(ctx, "ALTER TABLE "+quoted(table.Name)+" ENABLE TRIGGER USER")
	return err
}

// fillRuns copies runs into partitions, each of about a day like those that are
// made as runs are recorded.
func fillRuns(ctx context.Context, t pgx.Tx, rows *feed) error {
	first := int64(1)
	for rows.peek() {
		p := partition{first: first, began: rows.next[2].(int64)} //nolint:errcheck // an int by the kind of the column
		rows.stop = func(row []any) bool {
			id, ended := row[0].(int64), row[2].(int64) //nolint:errcheck // ints by the kinds of the columns
			size := id - p.first
			return size >= mostPartition || size >= leastPartition && ended-p.began >= int64(partitionTime)
		}
		if _, err := t.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (LIKE runs INCLUDING ALL)", p.table())); err != nil {
			return err
		}
		if err := rows.copy(ctx, t, p.table()); err != nil {
			return err
		}
		if p.past = rows.last + 1; rows.next != nil {
			p.past = rows.next[0].(int64) //nolint:errcheck // an int by the kind of the column
		}
		if _, err := t.Exec(ctx, fmt.Sprintf("ALTER TABLE runs ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", p.table(), p.first, p.past)); err != nil {
			return err
		}
		if _, err := t.Exec(ctx, "INSERT INTO run_partitions (first, past, began) VALUES ($1, $2, $3)", p.first, p.past, p.began); err != nil {
			return err
		}
		first = p.past
	}
	return rows.err
}

// fillBuckets copies buckets by way of a table that ends with the transaction:
// what partitions they need is known when all are there.
func fillBuckets(ctx context.Context, t pgx.Tx, rows *feed) error {
	const made = "archived_buckets"
	if _, err := t.Exec(ctx, "CREATE TEMPORARY TABLE "+made+" (LIKE buckets) ON COMMIT DROP"); err != nil {
		return err
	}
	if err := rows.copy(ctx, t, made); err != nil {
		return err
	}
	var there []shelf
	for _, tier := range series.Tiers() {
		found, err := t.Query(ctx, "SELECT min(at) FROM "+made+" WHERE tier = $1 GROUP BY at / $2::bigint", int32(tier), int64(shelfWidth(tier)))
		if err != nil {
			return err
		}
		ats, err := pgx.CollectRows(found, pgx.RowTo[int64])
		if err != nil {
			return err
		}
		for _, at := range ats {
			p := shelfOf(tier, at)
			if slices.Contains(there, p) {
				continue
			}
			there = append(there, p)
			if err := p.make(ctx, t); err != nil {
				return err
			}
		}
	}
	_, err := t.Exec(ctx, "INSERT INTO buckets SELECT * FROM "+made)
	return err
}

// feed is rows of an archive for COPY, up to where stop says.
type feed struct {
	from  *archive.Reader
	table *archive.Table
	stop  func(next []any) bool // nil: up to the end
	next  []any
	last  int64 // first column of the newest row that was copied, when that is a number
	row   []any
	err   error
}

var _ pgx.CopyFromSource = (*feed)(nil)

// peek reports whether there is a next row.
func (f *feed) peek() bool {
	if f.next != nil || f.err != nil {
		return f.next != nil
	}
	row, err := f.from.Row()
	switch {
	case errors.Is(err, io.EOF):
	case err != nil:
		f.err = err
	default:
		f.next = row
	}
	return f.next != nil
}

// Next implements [pgx.CopyFromSource].
func (f *feed) Next() bool {
	if !f.peek() || f.row != nil && f.stop != nil && f.stop(f.next) {
		return false
	}
	f.row, f.next = f.next, nil
	f.last, _ = f.row[0].(int64) // 0 when it is no number
	return true
}

// Values implements [pgx.CopyFromSource].
func (f *feed) Values() ([]any, error) {
	for i, c := range f.table.Columns {
		if c.Kind == archive.Bool {
			f.row[i] = f.row[i] == int64(1)
		}
	}
	return f.row, nil
}

// Err implements [pgx.CopyFromSource].
func (f *feed) Err() error { return f.err }

func (f *feed) copy(ctx context.Context, t pgx.Tx, into string) error {
	columns := make([]string, len(f.table.Columns))
	for i, c := range f.table.Columns {
		columns[i] = column(f.table, c)
	}
	f.row = nil
	_, err := t.CopyFrom(ctx, pgx.Identifier{into}, columns, f)
	return errors.Join(f.err, err)
}
