package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/tocsin-io/tocsin/core/store"
	"github.com/tocsin-io/tocsin/core/store/pack"
)

// PutSession implements [store.Sessions]. Sessions that have expired are
// forgotten on the way.
func (s *Store) PutSession(ctx context.Context, in store.Session) error {
	return s.write(ctx, "put session", func(t *tx) error {
		if _, err := t.exec("drop_expired_sessions", pack.Nanos(in.Created)); err != nil {
			return err
		}
		_, err := t.exec("put_session", in.Hash, in.Kind, in.User, in.Role, pack.Nanos(in.Created), pack.Nanos(in.Expires), pack.Nanos(in.Used))
		return err
	})
}

// Session implements [store.Sessions].
func (s *Store) Session(ctx context.Context, hash []byte, now time.Time) (store.Session, error) {
	var out store.Session
	err := s.read(ctx, "session", []any{hash, pack.Nanos(now)}, func(row scan) error { return scanSession(row, &out) })
	if err == nil && out.Hash == nil {
		err = store.ErrNotFound
	}
	if err != nil {
		return store.Session{}, fmt.Errorf("read session: %w", err)
	}
	return out, nil
}

// TakeLink implements [store.Sessions].
func (s *Store) TakeLink(ctx context.Context, hash []byte, now time.Time) (store.Session, error) {
	var out store.Session
	err := s.write(ctx, "take link", func(t *tx) error {
		if err := t.rows("take_link", []any{hash, pack.Nanos(now)}, func(row scan) error { return scanSession(row, &out) }); err != nil {
			return err
		}
		if out.Hash == nil {
			return store.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return store.Session{}, err
	}
	return out, nil
}

func scanSession(row scan, out *store.Session) error {
	var created, expires, used int64
	if err := row(&out.Hash, &out.Kind, &out.User, &out.Role, &created, &expires, &used); err != nil {
		return err
	}
	out.Created, out.Expires, out.Used = pack.Instant(created), pack.Instant(expires), pack.Instant(used)
	return nil
}

// EndSession implements [store.Sessions].
func (s *Store) EndSession(ctx context.Context, hash []byte) error {
	return s.write(ctx, "end session", func(t *tx) error {
		_, err := t.exec("end_session", hash)
		return err
	})
}

// Touch implements [store.Sessions].
func (s *Store) Touch(ctx context.Context, hash []byte, used, expires time.Time) error {
	return s.write(ctx, "touch session", func(t *tx) error {
		n, err := t.exec("touch_session", pack.Nanos(used), pack.Nanos(expires), hash)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	})
}

// PutSecret implements [store.Secrets].
func (s *Store) PutSecret(ctx context.Context, name string, sealed []byte, by string, now time.Time) error {
	return s.write(ctx, "put secret "+name, func(t *tx) error {
		_, err := t.exec("put_secret", name, sealed, by, pack.Nanos(now))
		return err
	})
}

// Secret implements [store.Secrets].
func (s *Store) Secret(ctx context.Context, name string) ([]byte, error) {
	var sealed []byte
	if err := s.readRow(ctx, "secret", []any{name}, &sealed); err != nil {
		return nil, fmt.Errorf("read secret %s: %w", name, missing(err))
	}
	return sealed, nil
}

// SecretNames implements [store.Secrets].
func (s *Store) SecretNames(ctx context.Context) ([]string, error) {
	var out []string
	err := s.read(ctx, "secret_names", nil, func(row scan) error {
		var name string
		err := row(&name)
		out = append(out, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read names of secrets: %w", err)
	}
	return out, nil
}

// DeleteSecret implements [store.Secrets].
func (s *Store) DeleteSecret(ctx context.Context, name string) error {
	return s.write(ctx, "delete secret "+name, func(t *tx) error {
		n, err := t.exec("delete_secret", name)
		if err == nil && n == 0 {
			err = store.ErrNotFound
		}
		return err
	})
}
