package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// partition is a range of ids of runs, which is a stretch of time: runs get
// their ids in the order in which they are recorded.
type partition struct {
	first, past int64
	began       int64 // nanoseconds since 1970, when it was made
}

// A partition is made to hold about a day, within bounds: few make a query
// slow, and one that is small is not worth a table.
const (
	partitionTime  = 24 * time.Hour
	leastPartition = 100_000
	mostPartition  = 50_000_000
)

func (p partition) table() string { return fmt.Sprintf("runs_%d", p.first) }

// next is the partition after p, with which there is room for newest: as large
// as what was recorded in a day at the pace of p.
func (p partition) next(newest int64, now time.Time) partition {
	size := int64(leastPartition)
	if took := now.UnixNano() - p.began; p.past > 0 && took > 0 {
		pace := float64(newest-p.first) / float64(took)
		size = int64(min(max(pace*float64(partitionTime), leastPartition), mostPartition))
	}
	first := max(p.past, 1)
	return partition{first: first, past: max(first+size, newest+1), began: now.UnixNano()}
}

// makeRoom makes a partition when there is none for the newest run, and the
// next one ahead when half of the newest is used.
func (m *move) makeRoom(now time.Time) {
	l := &m.s.ledger
	was := l.parts
	for {
		var newest partition
		if len(l.parts) > 0 {
			newest = l.parts[len(l.parts)-1]
		}
		if l.lastRun < newest.first+(newest.past-newest.first)/2 {
			break
		}
		p := newest.next(l.lastRun, now)
		m.batch.Queue(fmt.Sprintf("CREATE TABLE %s (LIKE runs INCLUDING ALL)", p.table()))
		m.batch.Queue(fmt.Sprintf("ALTER TABLE runs ATTACH PARTITION %s FOR VALUES FROM (%d) TO (%d)", p.table(), p.first, p.past))
		m.queue("insert_run_partition", p.first, p.past, p.began)
		l.parts = append(slices.Clip(l.parts), p)
	}
	if len(l.parts) > len(was) {
		m.laidOut = true
		l.restored = append(l.restored, func() { l.parts = was })
	}
}

// dropPartitions drops those of which all runs are deleted. Dropping one stops
// readers and writers for a moment, so it does not wait long for them: what
// cannot be dropped now can later.
func (s *Store) dropPartitions(ctx context.Context, floor int64) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	l := &s.ledger
	if err := s.loadPartitions(ctx, s.pool); err != nil { // others make and drop some too
		return err
	}
	for len(l.parts) > 1 && l.parts[0].past-1 <= floor && l.unsure == nil {
		p := l.parts[0]
		err := s.write(ctx, "drop "+p.table(), func(t *tx) error {
			if _, err := t.tx.Exec(t.ctx, "SET LOCAL lock_timeout = '1s'"); err != nil {
				return err
			}
			if _, err := t.exec("lock_ledger"); err != nil { // so that writers of other processes wait there
				return err
			}
			if _, err := t.tx.Exec(t.ctx, "DROP TABLE "+p.table()); err != nil {
				return err
			}
			_, err := t.exec("delete_run_partition", p.first)
			return err
		})
		if busy := (*pgconn.PgError)(nil); errors.As(err, &busy) && busy.Code == "55P03" {
			return nil
		}
		if err != nil {
			return err
		}
		l.parts = l.parts[1:]
	}
	return nil
}
