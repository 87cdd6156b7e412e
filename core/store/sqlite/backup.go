package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tocsin-io/tocsin/core/store/archive"
)

var (
	// ErrNoDatabase is returned for a data directory without a database.
	ErrNoDatabase = errors.New("there is no database in it")
	// ErrOlder is returned when an earlier release has written the database,
	// and it is only read.
	ErrOlder = errors.New("an earlier release of tocsin has written the database")
)

// reader is a database that is read beside the process that owns it, or without
// one.
type reader struct {
	db      *sql.DB
	conn    *sql.Conn
	version int
}

// readOnly is the pragma of a connection that only reads. VACUUM INTO does not
// work with it.
const readOnly = "query_only(1)"

// openReader opens the database at path for reading, and takes no lock.
func openReader(ctx context.Context, path string, pragmas ...string) (*reader, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoDatabase
	} else if err != nil {
		return nil, err
	}
	s := &Store{path: path, options: Options{}.withDefaults()}
	db, err := sql.Open("sqlite", s.source(pragmas...))
	if err != nil {
		return nil, err
	}
	r := &reader{db: db}
	if r.conn, err = db.Conn(ctx); err == nil {
		err = r.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&r.version)
	}
	if err != nil {
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

func (r *reader) close() error {
	var err error
	if r.conn != nil {
		err = r.conn.Close()
	}
	return errors.Join(err, r.db.Close())
}

// Backup writes a consistent, compact copy of the database in dir to path, which
// must not exist, and examines it. Another process may have the database open:
// it goes on reading and writing. The copy appears when it is whole and on disk.
func Backup(ctx context.Context, dir, path string) error {
	if err := backup(ctx, dir, path); err != nil {
		return fmt.Errorf("back up %s to %s: %w", dir, path, err)
	}
	return nil
}

func backup(ctx context.Context, dir, path string) (err error) {
	r, err := openReader(ctx, filepath.Join(dir, File))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.close()) }()
	return archive.Create(path, func(part string) error {
		if _, err := r.conn.ExecContext(ctx, "VACUUM INTO ?", part); err != nil {
			return err
		}
		return examine(ctx, part)
	})
}

// Restore puts the copy at path, which [Backup] made, into dir, which must not
// hold a database.
func Restore(ctx context.Context, path, dir string) error {
	if err := restore(ctx, path, dir); err != nil {
		return fmt.Errorf("restore %s to %s: %w", path, dir, err)
	}
	return nil
}

func restore(ctx context.Context, path, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	lock, err := acquire(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release(lock)) }()
	for _, name := range []string{File, File + "-wal", File + "-shm"} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s: %w; move the %s* files away, or restore to another directory", name, archive.ErrExists, File)
		}
	}
	source, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // it is only read
	return archive.Create(filepath.Join(dir, File), func(part string) error {
		copied, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // in the directory that the operator named
		if err != nil {
			return err
		}
		_, err = copied.ReadFrom(source)
		if err := errors.Join(err, copied.Close()); err != nil {
			return err
		}
		return examine(ctx, part)
	})
}

// examine refuses a copy that is damaged, is no database of tocsin, or was
// written by a later release.
func examine(ctx context.Context, path string) (err error) {
	r, err := openReader(ctx, path, readOnly)
	if err != nil {
		return fmt.Errorf("it is not a database of tocsin, or damaged: %w", err)
	}
	defer func() { err = errors.Join(err, r.close()) }()
	newest, err := migrations()
	if err != nil {
		return err
	}
	var tables int
	if err := r.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE name IN ('assignments', 'transitions')").Scan(&tables); err != nil || tables != 2 {
		return errors.Join(errors.New("it is not a database of tocsin, or damaged"), err)
	}
	if r.version > len(newest) {
		return newer(r.version, len(newest))
	}
	return errors.Join(
		r.findings(ctx, "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"),
		r.findings(ctx, "SELECT 'a row of ' || \"table\" || ' refers to one of ' || parent || ' that is missing' FROM pragma_foreign_key_check LIMIT 10"),
	)
}

// findings fails when query, one column of text, has an answer.
func (r *reader) findings(ctx context.Context, query string) error {
	rows, err := r.conn.QueryContext(ctx, query)
	var found []error
	err = drain("examine", rows, err, func(row scan) error {
		var text string
		err := row(&text)
		found = append(found, errors.New(text))
		return err
	})
	if err = errors.Join(append(found, err)...); err != nil {
		return fmt.Errorf("it is damaged: %w", err)
	}
	return nil
}

// Claim takes the data directory dir, which must hold a database, so that no
// process can open it until the claim is closed. It fails when one has it open.
func Claim(dir string) (io.Closer, error) {
	if _, err := os.Stat(filepath.Join(dir, File)); err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, errors.Join(ErrNoDatabase, err))
	}
	lock, err := acquire(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open data directory %s: %w", dir, err)
	}
	return claim{lock}, nil
}

type claim struct{ lock *os.File }

// Close lets others have the directory.
func (c claim) Close() error { return release(c.lock) }
