-- name: put_session
INSERT INTO sessions (hash, kind, user, role, created, expires, used) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (hash) DO UPDATE SET kind = excluded.kind, user = excluded.user, role = excluded.role,
  created = excluded.created, expires = excluded.expires, used = excluded.used;

-- name: drop_expired_sessions
DELETE FROM sessions WHERE expires > 0 AND expires <= ?;

-- name: session
SELECT hash, kind, user, role, created, expires, used FROM sessions
WHERE hash = ? AND kind <> 'link' AND (expires = 0 OR expires > ?);

-- name: take_link
DELETE FROM sessions WHERE hash = ? AND kind = 'link' AND (expires = 0 OR expires > ?)
RETURNING hash, kind, user, role, created, expires, used;

-- name: end_session
DELETE FROM sessions WHERE hash = ?;

-- name: touch_session
UPDATE sessions SET used = ?, expires = ? WHERE hash = ?;

-- name: put_secret
INSERT INTO secrets (name, sealed, by, updated) VALUES (?, ?, ?, ?)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, by = excluded.by, updated = excluded.updated;

-- name: secret
SELECT sealed FROM secrets WHERE name = ?;

-- name: secret_names
SELECT name FROM secrets ORDER BY name;

-- name: delete_secret
DELETE FROM secrets WHERE name = ?;
