-- $2 is how long a lease lasts.
-- name: insert_node
INSERT INTO nodes (name, started, since, expires, leaving)
VALUES ($1, clock_timestamp(), clock_timestamp(), clock_timestamp() + $2::interval, $3) RETURNING id;

-- Those that had the name before: it is proven that they have ended.
-- name: namesakes
SELECT id FROM nodes WHERE name = $1;

-- name: inherit_leases
UPDATE leases SET owner = $1, epoch = epoch + 1 WHERE owner = ANY ($2::bigint[]);

-- name: delete_nodes
DELETE FROM nodes WHERE id = ANY ($1::bigint[]);

-- Who ended without a word stays in sight for a day.
-- name: forget_nodes
DELETE FROM nodes AS n WHERE expires < clock_timestamp() - interval '1 day' AND NOT EXISTS (SELECT 1 FROM leases WHERE owner = n.id);

-- name: beat
UPDATE nodes SET since = CASE WHEN expires < clock_timestamp() THEN clock_timestamp() ELSE since END, expires = clock_timestamp() + $2::interval
WHERE id = $1 RETURNING clock_timestamp();

-- name: report_node
UPDATE nodes SET report = $2 WHERE id = $1;

-- name: nodes
SELECT id, name, started, expires, expires >= clock_timestamp(), leaving, report FROM nodes ORDER BY name, id;

-- name: leases
SELECT share, coalesce(owner, 0), epoch FROM leases ORDER BY share;

-- Those of this process, after a row of share -1 that says that it is known.
-- name: own_leases
SELECT -1, 0 FROM nodes WHERE id = $1 UNION ALL SELECT share, epoch FROM leases WHERE owner = $1 ORDER BY 1;

-- What is free, and what others held whose lease has run out while this process
-- was there all the time.
-- name: take_leases
UPDATE leases AS l SET owner = $1, epoch = epoch + 1
WHERE share = ANY ($2::integer[]) AND (owner IS NULL OR EXISTS (
  SELECT 1 FROM nodes AS o, nodes AS me
  WHERE o.id = l.owner AND o.expires < clock_timestamp() AND me.id = $1 AND me.since <= clock_timestamp() - $3::interval
)) RETURNING share, epoch;

-- This process, when it was there all the time that a lease lasts.
-- name: ready_to_inherit
SELECT id FROM nodes WHERE id = $1 AND since <= clock_timestamp() - $2::interval;

-- name: give_leases
UPDATE leases SET owner = NULL WHERE owner = $1 AND share = ANY ($2::integer[]);

-- name: leave
UPDATE nodes SET leaving = true WHERE id = $1;

-- name: give_all_leases
UPDATE leases SET owner = NULL WHERE owner = $1;

-- Ends what processes have begun that are taken for dead, lest a transaction of
-- one that was stopped in the middle keeps all others waiting.
-- name: end_sessions
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = ANY ($1::text[]);

-- name: lease_of_rules
SELECT epoch FROM leases WHERE share = 256 AND owner = $1;

-- Holds back who would take the rules over until this transaction has ended.
-- name: check_rules
SELECT 1 FROM leases WHERE share = 256 AND owner = $1 AND epoch = $2 FOR SHARE;

-- name: ask
INSERT INTO asks (assignment) VALUES ($1) RETURNING id;

-- name: open_asks
SELECT id, assignment FROM asks WHERE taken IS NULL AND asked > clock_timestamp() - interval '1 minute' ORDER BY id;

-- name: take_asks
UPDATE asks SET taken = $1 WHERE id = ANY ($2::bigint[]) AND taken IS NULL RETURNING id, assignment;

-- name: answer
UPDATE asks SET outcome = $2 WHERE id = $1;

-- name: answer_of
SELECT outcome FROM asks WHERE id = $1;

-- name: forget_asks
DELETE FROM asks WHERE id = $1 OR asked < clock_timestamp() - interval '1 hour';
