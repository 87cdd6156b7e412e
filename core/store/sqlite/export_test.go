package sqlite

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Checkpoint merges the write-ahead log into the database.
func (s *Store) Checkpoint() error {
	if err := s.take(context.Background()); err != nil {
		return err
	}
	defer s.give()
	_, err := s.conn.ExecContext(context.Background(), "PRAGMA wal_checkpoint(TRUNCATE)")
	return err
}

// LimitPages lets the database grow to n pages and no further, as a full disk
// would. 0 lifts the limit.
func (s *Store) LimitPages(n int) error {
	if err := s.take(context.Background()); err != nil {
		return err
	}
	defer s.give()
	if n == 0 {
		n = 1<<32 - 2
	}
	_, err := s.conn.ExecContext(context.Background(), "PRAGMA max_page_count = "+strconv.Itoa(n))
	return err
}

// Pages is how many pages the database has.
func (s *Store) Pages() (int, error) {
	if err := s.take(context.Background()); err != nil {
		return 0, err
	}
	defer s.give()
	var n int
	err := s.conn.QueryRowContext(context.Background(), "PRAGMA page_count").Scan(&n)
	return n, err
}

// Plans is how SQLite runs each query, step by step.
func (s *Store) Plans() (map[string][]string, error) {
	out := map[string][]string{}
	for name, text := range s.texts {
		rows, err := s.readers.Query("EXPLAIN QUERY PLAN "+text, make([]any, strings.Count(text, "?"))...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		err = drain(name, rows, nil, func(row scan) error {
			var id, parent, unused int
			var detail string
			err := row(&id, &parent, &unused, &detail)
			out[name] = append(out[name], detail)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
