package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// Apply implements [store.Catalog].
func (s *Store) Apply(ctx context.Context, e store.Edit) (int64, error) {
	version := e.Base + 1
	err := s.move(ctx, "apply edit", func(m *move) error {
		if err := m.refresh(m.s.ledger.board.Concerned(e.Systems)); err != nil {
			return err
		}
		m.edited = true
		m.check("set_catalog", fmt.Errorf("the edit was made from version %d of the catalog: %w", e.Base, store.ErrConflict), version)
		for _, o := range e.Delete {
			m.check("delete_object", fmt.Errorf("delete %s %s: %w", o.Kind, o.ID, store.ErrNotFound), string(o.Kind), o.ID)
		}
		for _, o := range e.Put {
			m.queue("put_object", string(o.Kind), o.ID, string(o.Body), pack.Nanos(e.Now), e.By)
		}
		changes := s.ledger.board.Configure(e.Systems, e.Now)
		if err := m.applySystems(e.Systems); err != nil {
			return err
		}
		m.queue("notify", "catalog")
		return m.append(changes)
	})
	if err != nil {
		return 0, err
	}
	s.version.set(version)
	return version, nil
}

// applySystems writes what the board was told to watch. The board has applied
// c already, and knows which assignments went with their systems.
func (m *move) applySystems(c core.Change) error {
	for _, id := range c.DeleteSystems {
		m.queue("delete_system", id)
	}
	for _, system := range c.PutSystems {
		body, err := json.Marshal(system)
		if err != nil {
			return fmt.Errorf("write system %s: %w", system.ID, err)
		}
		m.queue("put_system", system.ID, string(body), m.s.ledger.turn)
	}
	m.removeAssignments(c)
	for _, a := range c.PutAssignments {
		if err := m.putAssignment(a); err != nil {
			return fmt.Errorf("put assignment %s: %w", a.ID, err)
		}
	}
	return nil
}

func (m *move) removeAssignments(c core.Change) {
	l := &m.s.ledger
	gone := make([]*desk, 0, len(c.DeleteAssignments))
	for _, id := range c.DeleteAssignments {
		if d := l.desks[id]; d != nil {
			gone = append(gone, d)
		}
	}
	if len(c.DeleteSystems) > 0 {
		deleted := make(map[string]bool, len(c.DeleteSystems))
		for _, id := range c.DeleteSystems {
			deleted[id] = true
		}
		for id, d := range l.desks {
			if system, _ := core.SplitAssignmentID(id); deleted[system] {
				gone = append(gone, d)
			}
		}
	}
	for _, d := range gone {
		if _, watched := l.board.Assignment(d.id); watched || d.removed {
			continue
		}
		// First the assignment: whoever sets a value of it holds it meanwhile.
		m.queue("remove_assignment", d.key, l.turn)
		m.queue("drop_values_of_assignment", d.id)
		l.touch(d)
		l.setRemoved(d, true)
	}
}

func (l *ledger) setRemoved(d *desk, removed bool) {
	was := d.removed
	l.restored = append(l.restored, func() { d.removed = was })
	d.removed = removed
}

func (m *move) putAssignment(a core.Assignment) error {
	l := &m.s.ledger
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if d := l.desks[a.ID]; d != nil {
		l.setRemoved(d, false)
		m.queue("update_assignment", d.key, string(body), l.turn)
		return nil
	}
	l.lastKey++
	d := &desk{key: l.lastKey, id: a.ID}
	m.queue("insert_assignment", d.key, d.id, a.System, string(body), l.turn)
	m.queue("insert_standing", d.key, pack.Standing(nil, core.Standing{}))
	l.desks[d.id] = d
	l.created = append(l.created, d)
	return nil
}

// Objects implements [store.Catalog].
func (s *Store) Objects(ctx context.Context, kinds ...store.Kind) ([]store.Object, int64, error) {
	var out []store.Object
	var version int64
	err := s.read(ctx, "objects", []any{words(kinds)}, func(row scan) error {
		var kind, id, by *string
		var number, created, updated *int64
		var body []byte
		if err := row(&version, &kind, &id, &number, &body, &created, &updated, &by); err != nil {
			return err
		}
		if kind != nil {
			out = append(out, store.Object{
				Kind: store.Kind(*kind), ID: *id, Version: *number, Body: body,
				Created: pack.Instant(*created), Updated: pack.Instant(*updated), By: *by,
			})
		}
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("read objects: %w", err)
	}
	return out, version, nil
}

// Object implements [store.Catalog].
func (s *Store) Object(ctx context.Context, kind store.Kind, id string) (store.Object, error) {
	var o store.Object
	var created, updated int64
	if err := s.readRow(ctx, "object", []any{string(kind), id}, &o.Kind, &o.ID, &o.Version, &o.Body, &created, &updated, &o.By); err != nil {
		return store.Object{}, fmt.Errorf("read %s %s: %w", kind, id, missing(err))
	}
	o.Created, o.Updated = pack.Instant(created), pack.Instant(updated)
	return o, nil
}

// Assignments implements [store.Catalog].
func (s *Store) Assignments(ctx context.Context) ([]core.Assignment, error) {
	var out []core.Assignment
	if err := s.read(ctx, "assignments", nil, jsonInto(&out)); err != nil {
		return nil, fmt.Errorf("read assignments: %w", err)
	}
	return out, nil
}

// Changed implements [store.Catalog].
func (s *Store) Changed(ctx context.Context, version int64) error {
	err := s.await(ctx, &s.version, version, s.catalogVersion)
	if err != nil {
		return fmt.Errorf("wait for catalog after %d: %w", version, err)
	}
	return nil
}

func (s *Store) catalogVersion(ctx context.Context) (int64, error) {
	var now int64
	err := s.readRow(ctx, "counter", []any{"catalog"}, &now)
	return now, err
}

// words is values as the array that a query takes, never NULL.
func words[T ~string](values []T) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = string(v)
	}
	return out
}
