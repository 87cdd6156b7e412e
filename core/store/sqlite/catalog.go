package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// Apply implements [store.Catalog].
func (s *Store) Apply(ctx context.Context, e store.Edit) (int64, error) {
	version := e.Base + 1
	err := s.move(ctx, "apply edit", func(t *tx) error {
		var now int64
		if err := t.row("counter", []any{"catalog"}, &now); err != nil {
			return err
		}
		if now != e.Base {
			return fmt.Errorf("the catalog is at version %d, the edit was made from %d: %w", now, e.Base, store.ErrConflict)
		}
		if _, err := t.exec("set_counter", version, "catalog"); err != nil {
			return err
		}
		if err := t.applyObjects(e); err != nil {
			return err
		}
		changes := s.ledger.board.Configure(e.Systems, e.Now)
		if err := t.applySystems(e.Systems); err != nil {
			return err
		}
		return t.append(changes)
	})
	if err != nil {
		return 0, err
	}
	s.version.set(version)
	return version, nil
}

func (t *tx) applyObjects(e store.Edit) error {
	for _, o := range e.Delete {
		n, err := t.exec("delete_object", string(o.Kind), o.ID)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		if err != nil {
			return fmt.Errorf("delete %s %s: %w", o.Kind, o.ID, err)
		}
	}
	for _, o := range e.Put {
		if _, err := t.exec("put_object", string(o.Kind), o.ID, string(o.Body), pack.Nanos(e.Now), e.By); err != nil {
			return fmt.Errorf("put %s %s: %w", o.Kind, o.ID, err)
		}
	}
	return nil
}

// applySystems writes what the board was told to watch. The board has applied
// c already, and knows which assignments went with their systems.
func (t *tx) applySystems(c core.Change) error {
	for _, id := range c.DeleteSystems {
		if _, err := t.exec("delete_system", id); err != nil {
			return fmt.Errorf("delete system %s: %w", id, err)
		}
	}
	for _, system := range c.PutSystems {
		body, err := json.Marshal(system)
		if err != nil {
			return fmt.Errorf("write system %s: %w", system.ID, err)
		}
		if _, err := t.exec("put_system", system.ID, string(body)); err != nil {
			return fmt.Errorf("put system %s: %w", system.ID, err)
		}
	}
	if err := t.removeAssignments(c); err != nil {
		return err
	}
	for _, a := range c.PutAssignments {
		if err := t.putAssignment(a); err != nil {
			return fmt.Errorf("put assignment %s: %w", a.ID, err)
		}
	}
	return nil
}

func (t *tx) removeAssignments(c core.Change) error {
	l := &t.s.ledger
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
		if _, err := t.exec("drop_values_of_assignment", d.id); err != nil {
			return fmt.Errorf("delete what modules keep for %s: %w", d.id, err)
		}
		if _, err := t.exec("remove_assignment", d.key); err != nil {
			return fmt.Errorf("remove assignment %s: %w", d.id, err)
		}
		l.touch(d)
		l.setRemoved(d, true)
	}
	return nil
}

func (l *ledger) setRemoved(d *desk, removed bool) {
	was := d.removed
	l.restored = append(l.restored, func() { d.removed = was })
	d.removed = removed
}

func (t *tx) putAssignment(a core.Assignment) error {
	l := &t.s.ledger
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	if d := l.desks[a.ID]; d != nil {
		l.setRemoved(d, false)
		_, err := t.exec("update_assignment", string(body), d.key)
		return err
	}
	l.lastKey++
	d := &desk{key: l.lastKey, id: a.ID}
	if _, err := t.exec("insert_assignment", d.key, d.id, a.System, string(body)); err != nil {
		return err
	}
	if _, err := t.exec("insert_standing", d.key, pack.Standing(nil, core.Standing{})); err != nil {
		return err
	}
	l.desks[d.id] = d
	l.created = append(l.created, d)
	return nil
}

// Objects implements [store.Catalog].
func (s *Store) Objects(ctx context.Context, kinds ...store.Kind) ([]store.Object, int64, error) {
	var out []store.Object
	var version int64
	err := s.read(ctx, "objects", []any{list(kinds)}, func(row scan) error {
		var kind, id, by sql.NullString
		var number, created, updated sql.NullInt64
		var body []byte
		if err := row(&version, &kind, &id, &number, &body, &created, &updated, &by); err != nil {
			return err
		}
		if kind.Valid {
			out = append(out, store.Object{
				Kind: store.Kind(kind.String), ID: id.String, Version: number.Int64, Body: body,
				Created: pack.Instant(created.Int64), Updated: pack.Instant(updated.Int64), By: by.String,
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
	err := s.await(ctx, &s.version, version, func(ctx context.Context) (int64, error) {
		var now int64
		err := s.readRow(ctx, "counter", []any{"catalog"}, &now)
		return now, err
	})
	if err != nil {
		return fmt.Errorf("wait for catalog after %d: %w", version, err)
	}
	return nil
}

// list is values as the JSON array that a query takes apart.
func list[T any](values []T) string {
	if len(values) == 0 {
		return "[]"
	}
	text, err := json.Marshal(values)
	if err != nil {
		return "[]"
	}
	return string(text)
}
