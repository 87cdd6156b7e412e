-- name: put_module_file
INSERT INTO module_files (digest, file) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING;

-- name: delete_module_file
DELETE FROM module_files WHERE digest = $1 AND NOT EXISTS (SELECT 1 FROM modules WHERE digest = $1);

-- name: module_file
SELECT file FROM module_files WHERE digest = $1;

-- name: insert_module
INSERT INTO modules (name, version, digest, active, created, body, number) VALUES ($1, $2, $3, false, $4, $5, $6);

-- name: update_module
UPDATE modules SET body = $3 WHERE name = $1 AND version = $2;

-- name: activate_module
UPDATE modules SET active = true WHERE name = $1 AND version = $2;

-- name: rest_modules
UPDATE modules SET active = false WHERE name = $1 AND active;

-- name: delete_module
DELETE FROM modules WHERE name = $1 AND version = $2;

-- name: module
SELECT active, number, body FROM modules WHERE name = $1 AND version = $2;

-- name: count_module_versions
SELECT count(*) FROM modules WHERE name = $1;

-- name: modules
SELECT active, number, body FROM modules ORDER BY name COLLATE "C", number DESC;

-- The next number of a name that has a release.
-- name: next_module_number
UPDATE releases SET last_number = last_number + 1 WHERE name = $1 RETURNING last_number;

-- name: insert_release
INSERT INTO releases (name, kind, last_number, revision, body) VALUES ($1, $2, 1, 0, $3);

-- name: release
SELECT kind, revision, body FROM releases WHERE name = $1;

-- name: releases
SELECT kind, revision, body FROM releases ORDER BY name COLLATE "C";

-- name: update_release
UPDATE releases SET revision = $3 + 1, body = $2 WHERE name = $1 AND revision = $3;

-- name: delete_release
DELETE FROM releases WHERE name = $1;

-- name: drop_release_versions
DELETE FROM release_versions WHERE name = $1;

-- name: put_release_version
INSERT INTO release_versions (name, version) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: kept_value
SELECT value FROM kept_values WHERE module = $1 AND assignment = $2 AND key = $3;

-- name: put_value
INSERT INTO kept_values (module, assignment, key, value) VALUES ($1, $2, $3, $4)
ON CONFLICT (module, assignment, key) DO UPDATE SET value = excluded.value;

-- name: drop_value
DELETE FROM kept_values WHERE module = $1 AND assignment = $2 AND key = $3;

-- What a scope holds, not counting one key.
-- name: values_besides
SELECT coalesce(sum(length(key) + length(value)), 0) FROM kept_values WHERE module = $1 AND assignment = $2 AND key <> $3;

-- name: values_by_module
SELECT module, sum(length(key) + length(value)) FROM kept_values GROUP BY module;

-- name: drop_values_of_assignment
DELETE FROM kept_values WHERE assignment = $1 AND assignment <> '';

-- name: drop_values_of_module
DELETE FROM kept_values WHERE module = $1;

-- name: insert_recording
INSERT INTO recordings (run, step, assignment, body) VALUES ($1, $2, $3, $4);

-- All but the newest of an assignment.
-- name: trim_recordings
DELETE FROM recordings WHERE assignment = $1 AND run <= (
  SELECT run FROM recordings WHERE assignment = $1 ORDER BY run DESC LIMIT 1 OFFSET $2
);

-- name: recording
SELECT body FROM recordings WHERE run = $1 AND step = $2;

-- name: recorded_steps
SELECT step FROM recordings WHERE run = $1;

-- What writes modules, releases or one scope of values waits its turn here.
-- name: lock_modules
SELECT pg_advisory_xact_lock(7407110, 0);

-- name: lock_scope
SELECT pg_advisory_xact_lock(7407111, hashtext($1));

-- Keeps the assignment from being removed until the end of the transaction.
-- name: hold_assignment
SELECT 1 FROM assignments WHERE id = $1 AND NOT removed FOR SHARE;
