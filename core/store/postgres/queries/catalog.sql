-- name: put_system
INSERT INTO systems (id, body, turn) VALUES ($1, $2, $3) ON CONFLICT (id) DO UPDATE SET body = excluded.body, turn = excluded.turn;

-- name: delete_system
DELETE FROM systems WHERE id = $1;

-- name: systems
SELECT body FROM systems ORDER BY id COLLATE "C";

-- name: insert_assignment
INSERT INTO assignments (key, id, system, body, turn) VALUES ($1, $2, $3, $4, $5);

-- name: update_assignment
UPDATE assignments SET body = $2, removed = false, turn = $3 WHERE key = $1;

-- name: remove_assignment
UPDATE assignments SET removed = true, turn = $2 WHERE key = $1;

-- name: insert_standing
INSERT INTO standings (assignment, body) VALUES ($1, $2);

-- name: assignments
SELECT body FROM assignments WHERE NOT removed ORDER BY id COLLATE "C";

-- name: put_object
INSERT INTO objects AS o (kind, id, version, body, created, updated, by) VALUES ($1, $2, 1, $3, $4, $4, $5)
ON CONFLICT (kind, id) DO UPDATE SET version = o.version + 1, body = excluded.body, updated = excluded.updated, by = excluded.by
WHERE o.body::text <> excluded.body::text;

-- name: delete_object
DELETE FROM objects WHERE kind = $1 AND id = $2;

-- name: object
SELECT kind, id, version, body, created, updated, by FROM objects WHERE kind = $1 AND id = $2;

-- One row at least, so that the version belongs to the objects.
-- name: objects
SELECT c.value, o.kind, o.id, o.version, o.body, o.created, o.updated, o.by
FROM counters AS c LEFT JOIN objects AS o ON cardinality($1::text[]) = 0 OR o.kind = ANY ($1::text[])
WHERE c.name = 'catalog' ORDER BY o.kind COLLATE "C", o.id COLLATE "C";

-- name: counter
SELECT value FROM counters WHERE name = $1;

-- name: set_catalog
UPDATE counters SET value = $1 WHERE name = 'catalog' AND value = $1 - 1;

-- name: set_cursor
UPDATE counters SET value = greatest(value, $1) WHERE name = 'cursor';
