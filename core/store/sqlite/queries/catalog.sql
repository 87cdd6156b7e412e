-- name: put_system
INSERT INTO systems (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: delete_system
DELETE FROM systems WHERE id = ?;

-- name: systems
SELECT body FROM systems ORDER BY id;

-- name: insert_assignment
INSERT INTO assignments (key, id, system, body) VALUES (?, ?, ?, ?);

-- name: update_assignment
UPDATE assignments SET body = ?, removed = 0 WHERE key = ?;

-- name: remove_assignment
UPDATE assignments SET removed = 1 WHERE key = ?;

-- name: insert_standing
INSERT INTO standings (assignment, body) VALUES (?, ?);

-- name: assignments
SELECT body FROM assignments WHERE removed = 0 ORDER BY id;

-- name: put_object
INSERT INTO objects (kind, id, version, body, created, updated, by) VALUES (?1, ?2, 1, ?3, ?4, ?4, ?5)
ON CONFLICT (kind, id) DO UPDATE SET version = version + 1, body = excluded.body, updated = excluded.updated, by = excluded.by
WHERE body <> excluded.body;

-- name: delete_object
DELETE FROM objects WHERE kind = ? AND id = ?;

-- name: object
SELECT kind, id, version, body, created, updated, by FROM objects WHERE kind = ? AND id = ?;

-- One row at least, so that the version belongs to the objects.
-- name: objects
SELECT c.value, o.kind, o.id, o.version, o.body, o.created, o.updated, o.by
FROM counters AS c LEFT JOIN objects AS o ON json_array_length(?1) = 0 OR o.kind IN (SELECT value FROM json_each(?1))
WHERE c.name = 'catalog' ORDER BY o.kind, o.id;

-- name: counter
SELECT value FROM counters WHERE name = ?;

-- name: set_counter
UPDATE counters SET value = max(value, ?) WHERE name = ?;
