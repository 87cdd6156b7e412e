-- One process at a time adds up or deletes what is added up.
-- name: try_lock_series
SELECT pg_try_advisory_xact_lock(7407112, hashtext(current_schema()));

-- name: lock_series
SELECT pg_advisory_xact_lock(7407112, hashtext(current_schema()));

-- Assignments after $1 of which something is not added up.
-- name: to_add_up
SELECT a.key, a.id, s.newest, coalesce(u.low, 0), coalesce(u.next, 0), coalesce(u.top, 0), coalesce(u.seq, 0), coalesce(u.health, 0), coalesce(u.since, 0), coalesce(u.until, 0)
FROM standings AS s JOIN assignments AS a ON a.key = s.assignment LEFT JOIN added_up AS u ON u.assignment = s.assignment
WHERE s.assignment > $1 AND (s.newest > greatest(coalesce(u.low, 0), coalesce(u.top, 0)) OR u.next > 0)
ORDER BY s.assignment LIMIT $2;

-- name: added_up
SELECT a.key, a.id, s.newest, coalesce(u.low, 0), coalesce(u.next, 0), coalesce(u.top, 0), coalesce(u.seq, 0), coalesce(u.health, 0), coalesce(u.since, 0), coalesce(u.until, 0)
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key LEFT JOIN added_up AS u ON u.assignment = a.key
WHERE a.id = $1;

-- The chain of runs of an assignment from $1 down to, without, $2, and not where
-- runs are deleted.
-- name: chain_to_add_up
WITH RECURSIVE chain (id, ended, outcome, prev, body) AS (
  SELECT id, ended, outcome, prev, body FROM runs WHERE id = $1 AND id > greatest($2::bigint, (SELECT floor FROM ledger))
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev, r.body
  FROM chain AS c CROSS JOIN LATERAL (SELECT id, ended, outcome, prev, body FROM runs WHERE id = c.prev OFFSET 0) AS r
  WHERE c.prev > greatest($2::bigint, (SELECT floor FROM ledger))
)
SELECT id, ended, outcome, prev, body FROM chain LIMIT $3;

-- name: changes_to_add_up
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = $1 AND part = $2 AND kind = 0 AND seq > $3 ORDER BY seq LIMIT $4;

-- name: change_before
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = $1 AND part = $2 AND kind = 0 AND at < $3 ORDER BY seq DESC LIMIT 1;

-- name: some_buckets
SELECT b.tier, b.assignment, b.at, b.body
FROM unnest($1::integer[], $2::integer[], $3::bigint[]) AS n (tier, assignment, at)
JOIN buckets AS b ON b.tier = n.tier AND b.assignment = n.assignment AND b.at = n.at;

-- name: buckets
SELECT at, body FROM buckets WHERE tier = $1 AND assignment = $2 AND at >= $3 AND at < $4 ORDER BY at;

-- name: put_buckets
INSERT INTO buckets (tier, assignment, at, body) SELECT * FROM unnest($1::integer[], $2::integer[], $3::bigint[], $4::bytea[])
ON CONFLICT (tier, assignment, at) DO UPDATE SET body = excluded.body;

-- name: put_added_up
INSERT INTO added_up (assignment, low, next, top, seq, health, since, until)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::integer[], $7::bigint[], $8::bigint[])
ON CONFLICT (assignment) DO UPDATE SET low = excluded.low, next = excluded.next, top = excluded.top, seq = excluded.seq,
  health = excluded.health, since = excluded.since, until = excluded.until;

-- name: tiers
SELECT tier, floor FROM tiers;

-- name: raise_tier_floor
UPDATE tiers SET floor = greatest(floor, $2) WHERE tier = $1;

-- name: bucket_partitions
SELECT tier, first, past FROM bucket_partitions ORDER BY tier, first;

-- name: delete_bucket_partition
DELETE FROM bucket_partitions WHERE tier = $1 AND first = $2;

-- name: size_of_table
SELECT coalesce(pg_total_relation_size(to_regclass($1)), 0);

-- name: size
SELECT pg_database_size(current_database()),
  (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('runs')),
  (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('buckets_minutes')),
  (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('buckets_hours')),
  (SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_partition_tree('buckets_days'));

-- Up to which run, at most $1, all runs are added up.
-- name: added_up_to
SELECT least($1::bigint, coalesce((
  SELECT min(coalesce(u.low, 0))
  FROM standings AS s LEFT JOIN added_up AS u ON u.assignment = s.assignment
  WHERE s.newest > greatest(coalesce(u.low, 0), coalesce(u.top, 0)) OR u.next > 0
), $1::bigint));
