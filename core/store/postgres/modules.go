package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tocsin-io/tocsin/core"
	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// PutModule implements [store.Modules].
func (s *Store) PutModule(ctx context.Context, m core.Module, file []byte) (core.Module, error) {
	out := m
	err := s.write(ctx, fmt.Sprintf("put module %s %s", m.Name, m.Version), func(t *tx) error {
		if _, err := t.exec("lock_modules"); err != nil {
			return err
		}
		old, err := t.module(m.Name, m.Version)
		switch {
		case err == nil && old.Digest != m.Digest:
			return fmt.Errorf("it is stored with another digest (%s): %w", old.Digest, store.ErrConflict)
		case err == nil:
			out = old
			return nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
		if _, err := t.exec("put_module_file", m.Digest, file); err != nil {
			return err
		}
		if out.Number, err = t.number(m); err != nil {
			return err
		}
		out.Active = false
		body, err := json.Marshal(out)
		if err != nil {
			return err
		}
		_, err = t.exec("insert_module", m.Name, m.Version, m.Digest, pack.Nanos(m.Created), string(body), out.Number)
		return err
	})
	return out, err
}

// number is that of a new version: one more than any of its name had.
func (t *tx) number(m core.Module) (int, error) {
	kind, _, err := t.release(m.Name)
	if errors.Is(err, store.ErrNotFound) {
		body, err := json.Marshal(core.Release{Name: m.Name})
		if err != nil {
			return 0, err
		}
		_, err = t.exec("insert_release", m.Name, string(m.Kind), string(body))
		return 1, err
	}
	if err != nil {
		return 0, err
	}
	if kind != m.Kind {
		return 0, fmt.Errorf("%s is a %s module, not a %s module: %w", m.Name, kind, m.Kind, store.ErrConflict)
	}
	var n int
	err = t.row("next_module_number", []any{m.Name}, &n)
	return n, err
}

func (t *tx) module(name, version string) (m core.Module, err error) {
	err = t.rows("module", []any{name, version}, func(row scan) error {
		m, err = scanModule(row)
		return err
	})
	if err == nil && m.Name == "" {
		err = store.ErrNotFound
	}
	return m, err
}

func scanModule(row scan) (core.Module, error) {
	var m core.Module
	var body []byte
	var active bool
	var number int
	if err := row(&active, &number, &body); err != nil {
		return m, err
	}
	err := json.Unmarshal(body, &m)
	m.Active, m.Number = active, number
	return m, err
}

// Modules implements [store.Modules].
func (s *Store) Modules(ctx context.Context) ([]core.Module, error) {
	var out []core.Module
	err := s.read(ctx, "modules", nil, func(row scan) error {
		m, err := scanModule(row)
		out = append(out, m)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read modules: %w", err)
	}
	return out, nil
}

// ModuleFile implements [store.Modules].
func (s *Store) ModuleFile(ctx context.Context, digest string) ([]byte, error) {
	var file []byte
	if err := s.readRow(ctx, "module_file", []any{digest}, &file); err != nil {
		return nil, fmt.Errorf("read module file %s: %w", digest, missing(err))
	}
	return file, nil
}

// GrantModule implements [store.Modules].
func (s *Store) GrantModule(ctx context.Context, name, version string, grant core.Grant, by string, now time.Time) error {
	return s.write(ctx, fmt.Sprintf("grant module %s %s", name, version), func(t *tx) error {
		if _, err := t.exec("lock_modules"); err != nil {
			return err
		}
		m, err := t.module(name, version)
		if err != nil {
			return err
		}
		m.Grant, m.Granted, m.GrantBy = grant, now.UTC(), by
		body, err := json.Marshal(m)
		if err != nil {
			return err
		}
		_, err = t.exec("update_module", name, version, string(body))
		return err
	})
}

// DeleteModule implements [store.Modules].
func (s *Store) DeleteModule(ctx context.Context, name, version string) error {
	return s.write(ctx, fmt.Sprintf("delete module %s %s", name, version), func(t *tx) error {
		if _, err := t.exec("lock_modules"); err != nil {
			return err
		}
		m, err := t.module(name, version)
		if err != nil {
			return err
		}
		_, r, err := t.release(name)
		if err != nil {
			return err
		}
		var versions int
		if err := t.row("count_module_versions", []any{name}, &versions); err != nil {
			return err
		}
		if keeps := r.Keeps(version); versions > 1 && len(keeps) > 0 {
			return fmt.Errorf("it is in use (%s): %w", strings.Join(keeps, ", "), store.ErrConflict)
		}
		if versions == 1 {
			err = t.deleteRelease(name)
		} else if dropped := r.Drop(version); len(dropped.Previous) < len(r.Previous) {
			err = t.putRelease(dropped)
		}
		if err != nil {
			return err
		}
		if _, err := t.exec("delete_module", name, version); err != nil {
			return err
		}
		_, err = t.exec("delete_module_file", m.Digest)
		return err
	})
}

// deleteRelease forgets a name whose last version goes, and what it kept.
func (t *tx) deleteRelease(name string) error {
	if _, err := t.exec("drop_values_of_module", name); err != nil {
		return err
	}
	_, err := t.exec("delete_release", name)
	return err
}

func (t *tx) release(name string) (kind core.ModuleKind, r core.Release, err error) {
	err = t.rows("release", []any{name}, func(row scan) error {
		kind, r, err = scanRelease(row)
		return err
	})
	if err == nil && kind == "" {
		err = store.ErrNotFound
	}
	return kind, r, err
}

func scanRelease(row scan) (kind core.ModuleKind, r core.Release, err error) {
	var body []byte
	var revision int64
	if err = row(&kind, &revision, &body); err != nil {
		return kind, r, err
	}
	err = json.Unmarshal(body, &r)
	r.Revision = revision
	return kind, r, err
}

// Releases implements [store.Releases].
func (s *Store) Releases(ctx context.Context) ([]core.Release, error) {
	var out []core.Release
	err := s.read(ctx, "releases", nil, func(row scan) error {
		_, r, err := scanRelease(row)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read releases: %w", err)
	}
	return out, nil
}

// Release implements [store.Releases].
func (s *Store) Release(ctx context.Context, name string) (core.Release, error) {
	var out core.Release
	err := s.read(ctx, "release", []any{name}, func(row scan) error {
		var err error
		_, out, err = scanRelease(row)
		return err
	})
	if err == nil && out.Name == "" {
		err = store.ErrNotFound
	}
	if err != nil {
		return core.Release{}, fmt.Errorf("read release of %s: %w", name, err)
	}
	return out, nil
}

// PutRelease implements [store.Releases].
func (s *Store) PutRelease(ctx context.Context, r core.Release) error {
	return s.write(ctx, "put release of "+r.Name, func(t *tx) error {
		if _, err := t.exec("lock_modules"); err != nil {
			return err
		}
		return t.putRelease(r)
	})
}

func (t *tx) putRelease(r core.Release) error {
	_, old, err := t.release(r.Name)
	if err != nil {
		return err
	}
	if old.Revision != r.Revision {
		return fmt.Errorf("it is at revision %d, the change was made from %d: %w", old.Revision, r.Revision, store.ErrConflict)
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if _, err := t.exec("update_release", r.Name, string(body), r.Revision); err != nil {
		return err
	}
	if _, err := t.exec("drop_release_versions", r.Name); err != nil {
		return err
	}
	names := append(slices.Collect(maps.Values(r.Aliases)), r.Previous...)
	if names = append(names, r.Stable); r.Canary != nil {
		names = append(names, r.Canary.Version)
	}
	for _, version := range names {
		if version == "" {
			continue
		}
		if _, err := t.module(r.Name, version); err != nil {
			return fmt.Errorf("it names version %s: %w", version, err)
		}
		if _, err := t.exec("put_release_version", r.Name, version); err != nil {
			return err
		}
	}
	if _, err := t.exec("rest_modules", r.Name); err != nil || r.Stable == "" {
		return err
	}
	_, err = t.exec("activate_module", r.Name, r.Stable)
	return err
}

// Value implements [store.Values].
func (s *Store) Value(ctx context.Context, scope, key string) (value string, found bool, err error) {
	module, assignment, _ := strings.Cut(scope, "/")
	var kept []byte
	switch err := s.readRow(ctx, "kept_value", []any{module, assignment, []byte(key)}, &kept); {
	case errors.Is(err, pgx.ErrNoRows):
		return "", false, nil
	case err != nil:
		return "", false, fmt.Errorf("read a value of %s: %w", scope, err)
	}
	return string(kept), true, nil
}

// SetValue implements [store.Values].
func (s *Store) SetValue(ctx context.Context, scope, key string, value *string, most int64) (used int64, ok bool, err error) {
	module, assignment, _ := strings.Cut(scope, "/")
	err = s.write(ctx, "keep a value of "+scope, func(t *tx) error {
		if assignment != "" {
			var there int
			if err := t.row("hold_assignment", []any{assignment}, &there); err != nil {
				return fmt.Errorf("the assignment %s: %w", assignment, missing(err))
			}
		}
		if _, err := t.exec("lock_scope", scope); err != nil {
			return err
		}
		if err := t.row("values_besides", []any{module, assignment, []byte(key)}, &used); err != nil {
			return err
		}
		if value == nil {
			ok = true
			_, err := t.exec("drop_value", module, assignment, []byte(key))
			return err
		}
		if n := int64(len(key) + len(*value)); used+n <= most {
			used, ok = used+n, true
			_, err := t.exec("put_value", module, assignment, []byte(key), []byte(*value))
			return err
		}
		var kept []byte // what is there stays, and counts
		err := t.row("kept_value", []any{module, assignment, []byte(key)}, &kept)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		used += int64(len(key) + len(kept))
		return err
	})
	if err != nil {
		return 0, false, err
	}
	return used, ok, nil
}

// ValuesSize implements [store.Values].
func (s *Store) ValuesSize(ctx context.Context) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.read(ctx, "values_by_module", nil, func(row scan) error {
		var module string
		var size int64
		err := row(&module, &size)
		out[module] = size
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what modules keep: %w", err)
	}
	return out, nil
}

// writeRecordings writes those whose run is stored, and drops the oldest of
// their assignments.
func (m *move) writeRecordings(all []pack.Recorded) {
	trim := map[int64]bool{}
	for _, r := range all {
		if r.Run.ID == 0 {
			continue
		}
		d := m.s.ledger.desks[r.Run.Assignment]
		m.queue("insert_recording", r.Run.ID, r.Step, d.key, r.Body)
		trim[d.key] = true
	}
	for key := range trim {
		m.queue("trim_recordings", key, m.s.options.KeepRecordings)
	}
}

// Recording implements [store.Recordings].
func (s *Store) Recording(ctx context.Context, run int64, step string) (core.Recording, error) {
	var rec core.Recording
	var body []byte
	err := missing(s.readRow(ctx, "recording", []any{run, step}, &body))
	if err == nil {
		err = pack.UnpackRecording(body, &rec)
	}
	if err != nil {
		return core.Recording{}, fmt.Errorf("read the recording of step %s of run %d: %w", step, run, err)
	}
	return rec, nil
}

// recorded makes the steps of a run say which recordings are still there.
func (s *Store) recorded(ctx context.Context, run *core.Run) error {
	if !slices.ContainsFunc(run.Steps, func(step core.StepResult) bool { return step.Replay }) {
		return nil
	}
	kept := map[string]bool{}
	err := s.read(ctx, "recorded_steps", []any{run.ID}, func(row scan) error {
		var step string
		err := row(&step)
		kept[step] = true
		return err
	})
	for i := range run.Steps {
		run.Steps[i].Replay = kept[run.Steps[i].ID]
	}
	return err
}
