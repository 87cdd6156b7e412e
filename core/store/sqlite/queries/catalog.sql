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

-- name: put_module_file
INSERT INTO module_files (digest, file) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING;

-- name: delete_module_file
DELETE FROM module_files WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM modules WHERE digest = ?1);

-- name: module_file
SELECT file FROM module_files WHERE digest = ?;

-- name: put_module
INSERT INTO modules (name, version, digest, active, created, body) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (name, version) DO UPDATE SET active = excluded.active, body = excluded.body;

-- name: rest_modules
UPDATE modules SET active = 0 WHERE name = ? AND active = 1;

-- name: delete_module
DELETE FROM modules WHERE name = ? AND version = ?;

-- name: module
SELECT active, body FROM modules WHERE name = ? AND version = ?;

-- name: count_module_versions
SELECT count(*) FROM modules WHERE name = ?;

-- name: modules
SELECT active, body FROM modules ORDER BY name, created DESC, rowid DESC;
