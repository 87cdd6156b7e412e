-- First of every ledger transaction: one after another, and of one process.
-- name: fence
UPDATE ledger SET turn = $2, run = $3, latest_run = $4, seq = $5, latest_transition = $6 WHERE epoch = $1 AND turn = $2 - 1;

-- Waits for all that the process before has begun to write.
-- name: lock_ledger
SELECT epoch FROM ledger FOR UPDATE;

-- name: take_over
UPDATE ledger SET epoch = epoch + 1 RETURNING epoch;

-- name: ledger
SELECT epoch, turn, run, latest_run, seq, latest_transition FROM ledger;

-- name: put_standings
UPDATE standings AS s SET newest = n.newest, newest_bad = n.newest_bad, body = n.body
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bytea[]) AS n (assignment, newest, newest_bad, body)
WHERE s.assignment = n.assignment;

-- name: insert_transitions
INSERT INTO transitions (seq, at, kind, scope, part, was, now, cause, run, body)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::text[], $6::integer[], $7::integer[], $8::text[], $9::bigint[], $10::json[]);

-- name: put_rollups
INSERT INTO rollups (kind, id, body) SELECT * FROM unnest($1::integer[], $2::text[], $3::json[])
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body;

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
