package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/jackc/pgx/v5"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

//go:embed queries/*.sql
var queryFiles embed.FS

// ErrNewer is returned by [Open] when a newer release has written the
// database.
var ErrNewer = errors.New("a newer release of tocsin has written the database")

// migrate brings the database behind conn up to the newest migration, all in
// one transaction, while no other process does.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	names, err := migrations()
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(t pgx.Tx) error {
		var version int
		const prepare = `SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(7407109, 0);
CREATE TABLE IF NOT EXISTS migrations (version integer PRIMARY KEY CHECK (version > 0), name text NOT NULL, applied timestamptz NOT NULL DEFAULT now());`
		if _, err := t.Exec(ctx, prepare); err != nil {
			return fmt.Errorf("prepare migrations: %w", err)
		}
		if err := t.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM migrations").Scan(&version); err != nil {
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
			if _, err := t.Exec(ctx, string(text), pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("migrate to version %d (%s): %w", number, path.Base(name), err)
			}
			if _, err := t.Exec(ctx, "INSERT INTO migrations (version, name) VALUES ($1, $2)", number, path.Base(name)); err != nil {
				return err
			}
		}
		return nil
	})
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
			query = strings.TrimSuffix(strings.TrimSpace(query), ";")
			if queries[name] != "" || query == "" {
				return nil, fmt.Errorf("%s: query %q is empty or there twice", file, name)
			}
			queries[name] = query
		}
	}
	return queries, nil
}
