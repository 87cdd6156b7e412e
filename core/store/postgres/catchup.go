package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// begin opens the transaction: it locks the ledger, learns whose the shards
// are, and takes over what others have decided since this process wrote last.
// That stays, also when the transaction fails.
func (m *move) begin() error {
	s := m.s
	l := &s.ledger
	now, known := l.mark, false
	m.leases = [core.Shards]int64{}
	var rolled []core.Rolled
	first := move{s: s}
	first.batch.Queue("BEGIN")
	first.queue("lock_ledger").QueryRow(func(row pgx.Row) error {
		return row.Scan(&now.turn, &now.lastRun, &now.latestRun, &now.lastSeq, &now.latestSeq, &now.edited, &now.layout, &m.xact)
	})
	first.queue("own_leases", s.member.id.Load()).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			var share int
			var epoch int64
			if err := rows.Scan(&share, &epoch); err != nil {
				return err
			}
			if share < 0 {
				known = true
			} else if share < core.Shards {
				m.leases[share] = epoch
			}
		}
		return rows.Err()
	})
	first.queue("rollups_since", l.since()).Query(func(rows pgx.Rows) error {
		add := jsonInto(&rolled)
		for rows.Next() {
			if err := add(rows.Scan); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err := errors.Join(first.err, s.conn.SendBatch(m.ctx, &first.batch).Close()); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if !known {
		return errors.New("this node is not known to the database; it joins again soon")
	}
	if err := m.catchUp(now, rolled); err != nil {
		return fmt.Errorf("catch up with other nodes: %w", err)
	}
	return nil
}

// since is the turn after which others' decisions are not in memory yet.
func (l *ledger) since() int64 {
	if !l.loaded {
		return -1
	}
	return l.turn
}

// catchUp makes what is in memory what the tables are, but for standings of
// shards that are not fresh.
func (m *move) catchUp(now mark, rolled []core.Rolled) error {
	s := m.s
	l := &s.ledger
	if now.turn == l.turn && l.loaded {
		return nil
	}
	if now.layout > l.layout || !l.loaded {
		if err := errors.Join(s.loadNames(m.ctx, s.conn), s.loadPartitions(m.ctx, s.conn)); err != nil {
			return err
		}
	}
	if now.edited > l.edited || !l.loaded {
		if err := m.adoptEdits(rolled); err != nil {
			return err
		}
	} else {
		l.board.Adopt(core.Change{}, nil, rolled, time.Now())
	}
	now.lastKey = l.lastKey
	l.mark, l.loaded = now, true
	return nil
}

// adoptEdits takes over what others have edited.
func (m *move) adoptEdits(rolled []core.Rolled) error {
	l := &m.s.ledger
	after := l.since()
	var c core.Change
	there := map[string]bool{}
	if err := query(m.ctx, m.s, m.s.conn, "systems_since", []any{after}, func(row scan) error {
		var id string
		var body []byte
		if err := row(&id, &body); err != nil {
			return err
		}
		there[id] = true
		if body == nil {
			return nil
		}
		var system core.System
		if err := json.Unmarshal(body, &system); err != nil {
			return fmt.Errorf("system %s: %w", id, err)
		}
		c.PutSystems = append(c.PutSystems, system)
		return nil
	}); err != nil {
		return err
	}
	for _, id := range l.board.Systems() {
		if !there[id] {
			c.DeleteSystems = append(c.DeleteSystems, id)
		}
	}
	standings, err := m.readDesks(&c, "desks_since", after)
	if err != nil {
		return err
	}
	l.board.Adopt(c, standings, rolled, time.Now())
	return nil
}

// readDesks reads desks anew, notes in c, unless it is nil, which assignments
// there are and are no more, and returns their standings.
func (m *move) readDesks(c *core.Change, name string, args ...any) (map[string]core.Standing, error) {
	l := &m.s.ledger
	standings := map[string]core.Standing{}
	err := query(m.ctx, m.s, m.s.conn, name, args, func(row scan) error {
		var d desk
		var body, standing []byte
		if err := row(&d.key, &d.id, &d.removed, &body, &d.newest, &d.newestBad, &standing); err != nil {
			return err
		}
		l.lastKey = max(l.lastKey, d.key)
		if was := l.desks[d.id]; was != nil {
			*was = d
		} else {
			l.desks[d.id] = &d
		}
		if d.removed {
			if c != nil {
				c.DeleteAssignments = append(c.DeleteAssignments, d.id)
			}
			return nil
		}
		var err error
		if standings[d.id], err = pack.UnpackStanding(standing); err != nil {
			return fmt.Errorf("standing of %s: %w", d.id, err)
		}
		if c == nil {
			return nil
		}
		var a core.Assignment
		if err := json.Unmarshal(body, &a); err != nil {
			return fmt.Errorf("assignment %s: %w", d.id, err)
		}
		c.PutAssignments = append(c.PutAssignments, a)
		return nil
	})
	return standings, err
}

// ours reports whether this process has the lease of an assignment's shard, and
// had no other one in epoch, unless that is 0: what a run saw that waited here
// while the shard was another's, that one has seen too.
func (m *move) ours(assignment string, epoch int64) bool {
	system, _ := core.SplitAssignmentID(assignment)
	lease := m.leases[core.ShardOf(system)]
	return lease != 0 && (epoch == 0 || epoch == lease)
}

// freshen reads the standings of shards of the assignments that became this
// process's since it read them last.
func (m *move) freshen(assignments []string) error {
	l := &m.s.ledger
	var stale [core.Shards]bool
	some := false
	for _, id := range assignments {
		system, _ := core.SplitAssignmentID(id)
		if shard := core.ShardOf(system); m.leases[shard] != 0 && m.leases[shard] != l.fresh[shard] {
			stale[shard], some = true, true
		}
	}
	if !some {
		return nil
	}
	systems := map[string]bool{}
	for id := range l.desks {
		if system, _ := core.SplitAssignmentID(id); stale[core.ShardOf(system)] {
			systems[system] = true
		}
	}
	if err := m.reread(systems); err != nil {
		return err
	}
	for shard, is := range stale {
		if is {
			l.fresh[shard] = m.leases[shard]
		}
	}
	return nil
}

// refresh reads the standings of those of the systems that others may have
// moved.
func (m *move) refresh(systems []string) error {
	l := &m.s.ledger
	some := map[string]bool{}
	for _, system := range systems {
		if shard := core.ShardOf(system); m.leases[shard] == 0 || m.leases[shard] != l.fresh[shard] {
			some[system] = true
		}
	}
	return m.reread(some)
}

// reread reads the standings of systems. Nothing may have been decided yet.
func (m *move) reread(systems map[string]bool) error {
	if len(systems) == 0 {
		return nil
	}
	ids := make([]string, 0, len(systems))
	for id := range systems {
		ids = append(ids, id)
	}
	standings, err := m.readDesks(nil, "desks_of", ids)
	if err != nil {
		return fmt.Errorf("read standings: %w", err)
	}
	m.s.ledger.board.Adopt(core.Change{}, standings, nil, time.Now())
	return nil
}
