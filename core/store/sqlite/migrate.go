package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

//go:embed queries/*.sql
var queryFiles embed.FS

// ErrNewer is returned by [Open] when a newer release has written the
// database.
var ErrNewer = errors.New("a newer release of tocsin has written the database")

// migrate brings the database behind conn up to the newest migration, each in
// a transaction of its own. Its number is kept as the user_version of the
// file.
func migrate(ctx context.Context, conn *sql.Conn) error {
	names, err := migrations()
	if err != nil {
		return err
	}
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read its version: %w", err)
	}
	if version > len(names) {
		return newer(version, len(names))
	}
	for i, name := range names[version:] {
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return err
		}
		number := version + i + 1
		script := fmt.Sprintf("BEGIN IMMEDIATE;\n%s\nPRAGMA user_version = %d;\nCOMMIT;", text, number)
		if _, err := conn.ExecContext(ctx, script); err != nil {
			_, undo := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
			return fmt.Errorf("migrate to version %d (%s): %w", number, path.Base(name), errors.Join(err, undo))
		}
	}
	return nil
}

// migrations lists the files of all versions, in order.
func migrations() ([]string, error) { return fs.Glob(migrationFiles, "migrations/*.sql") }

func newer(version, known int) error {
	return fmt.Errorf("%w: it is of version %d and this release knows up to %d; install that release or a later one, or restore a backup",
		ErrNewer, version, known)
}

// loadQueries reads the query files: each query follows a line "-- name: x".
func loadQueries() (map[string]string, error) {
	files, err := fs.Glob(queryFiles, "queries/*.sql")
	if err != nil {
		return nil, err
	}
	queries := map[string]string{}
	for _, file := range files {
		text, err := queryFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		for _, part := range strings.Split(string(text), "-- name: ")[1:] {
			name, query, _ := strings.Cut(part, "\n")
			query, _, _ = strings.Cut(query, "\n--") // what is said of the next query
			// The driver keeps a statement prepared only when nothing follows it.
			query = strings.TrimSuffix(strings.TrimSpace(query), ";")
			if queries[name] != "" || query == "" {
				return nil, fmt.Errorf("%s: query %q is empty or there twice", file, name)
			}
			queries[name] = query
		}
	}
	for _, name := range []string{"insert_runs", "put_standings"} {
		queries[name+many] = repeatRow(queries[name], bulk)
	}
	return queries, nil
}

// bulk is how many rows a bulk statement writes: a call of SQLite costs as much
// as a small row, so many rows share one.
const bulk = 16

// many is the end of the name of a bulk statement.
const many = " many"

// repeatRow makes of an INSERT of one row, all parameters, one of n rows.
func repeatRow(query string, n int) string {
	const values = "VALUES "
	from := strings.Index(query, values) + len(values)
	to := from + strings.Index(query[from:], ")") + 1
	return query[:from] + strings.Repeat(query[from:to]+", ", n-1) + query[from:]
}
