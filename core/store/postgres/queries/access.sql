-- name: put_session
INSERT INTO sessions (hash, kind, username, role, created, expires, used) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (hash) DO UPDATE SET kind = excluded.kind, username = excluded.username, role = excluded.role,
  created = excluded.created, expires = excluded.expires, used = excluded.used;

-- name: drop_expired_sessions
DELETE FROM sessions WHERE expires > 0 AND expires <= $1;

-- name: session
SELECT hash, kind, username, role, created, expires, used FROM sessions
WHERE hash = $1 AND kind <> 'link' AND (expires = 0 OR expires > $2);

-- name: take_link
DELETE FROM sessions WHERE hash = $1 AND kind = 'link' AND (expires = 0 OR expires > $2)
RETURNING hash, kind, username, role, created, expires, used;

-- name: end_session
DELETE FROM sessions WHERE hash = $1;

-- name: touch_session
UPDATE sessions SET used = $1, expires = $2 WHERE hash = $3;

-- name: put_secret
INSERT INTO secrets (name, sealed, by, updated) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET sealed = excluded.sealed, by = excluded.by, updated = excluded.updated;

-- name: secret
SELECT sealed FROM secrets WHERE name = $1;

-- name: secret_names
SELECT name FROM secrets ORDER BY name COLLATE "C";

-- name: delete_secret
DELETE FROM secrets WHERE name = $1;
