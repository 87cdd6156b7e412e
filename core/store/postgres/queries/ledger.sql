-- First of every ledger transaction: they go one after another, over all
-- processes.
-- name: lock_ledger
SELECT turn, run, latest_run, seq, latest_transition, edited, layout, pg_current_xact_id()::text FROM ledger FOR UPDATE;

-- name: advance_ledger
UPDATE ledger SET turn = $1, run = $2, latest_run = $3, seq = $4, latest_transition = $5, edited = $6, layout = $7;

-- What became of a transaction whose commit was not answered.
-- name: outcome
SELECT coalesce(pg_xact_status($1::xid8), 'forgotten'), turn FROM ledger;

-- name: is_recorded
SELECT EXISTS (SELECT 1 FROM runs AS r JOIN assignments AS a ON a.key = r.assignment WHERE r.id = $1 AND a.id = $2 AND r.ended = $3);

-- name: rollups_since
SELECT body FROM rollups WHERE turn > $1;

-- Every system, with its body when it was edited since.
-- name: systems_since
SELECT id, CASE WHEN turn > $1 THEN body END FROM systems;

-- name: desks_since
SELECT a.key, a.id, a.removed, a.body, s.newest, s.newest_bad, s.body
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.turn > $1 ORDER BY a.key;

-- name: desks_of
SELECT a.key, a.id, a.removed, a.body, s.newest, s.newest_bad, s.body
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.system = ANY ($1::text[]);

-- name: put_standings
UPDATE standings AS s SET newest = n.newest, newest_bad = n.newest_bad, body = n.body
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bytea[]) AS n (assignment, newest, newest_bad, body)
WHERE s.assignment = n.assignment;

-- name: insert_transitions
INSERT INTO transitions (seq, at, kind, scope, part, was, now, cause, run, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::integer[], $7::integer[], $8::text[], $9::bigint[], $10::json[]);

-- name: put_rollups
INSERT INTO rollups (kind, id, body, turn) SELECT *, $4::bigint FROM unnest($1::integer[], $2::text[], $3::json[])
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, turn = excluded.turn;

-- name: delete_rollup
DELETE FROM rollups WHERE kind = $1 AND id = $2;

-- name: insert_mark
INSERT INTO marks (log, id, latest) VALUES ($1, $2, $3);

-- name: insert_sample_name
INSERT INTO sample_names (key, name) VALUES ($1, $2);

-- name: sample_names
SELECT key, name FROM sample_names;

-- name: run_partitions
SELECT first, past, began FROM run_partitions ORDER BY first;

-- name: insert_run_partition
INSERT INTO run_partitions (first, past, began) VALUES ($1, $2, $3);

-- name: delete_run_partition
DELETE FROM run_partitions WHERE first = $1;

-- name: standings
SELECT a.id, s.body FROM standings AS s JOIN assignments AS a ON a.key = s.assignment WHERE NOT a.removed;

-- name: standing
SELECT s.body FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.id = $1 AND NOT a.removed;

-- name: rollups
SELECT body FROM rollups;

-- name: desks
SELECT a.key, a.id, a.removed, a.body, s.newest, s.newest_bad, s.body
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key ORDER BY a.key;

-- name: head
SELECT seq FROM ledger;

-- name: newest_run
SELECT run FROM ledger;

-- name: notify
SELECT pg_notify('tocsin', $1);

-- name: transitions_after
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions WHERE seq > $1 ORDER BY seq LIMIT $2;
