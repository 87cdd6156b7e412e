-- Assignments after ?1 of which something is not added up.
-- name: to_add_up
SELECT a.key, a.id, s.newest, coalesce(u.low, 0), coalesce(u.next, 0), coalesce(u.top, 0), coalesce(u.seq, 0), coalesce(u.health, 0), coalesce(u.since, 0), coalesce(u.until, 0)
FROM standings AS s JOIN assignments AS a ON a.key = s.assignment LEFT JOIN added_up AS u ON u.assignment = s.assignment
WHERE s.assignment > ?1 AND (s.newest > max(coalesce(u.low, 0), coalesce(u.top, 0)) OR u.next > 0)
ORDER BY s.assignment LIMIT ?2;

-- name: added_up
SELECT a.key, a.id, s.newest, coalesce(u.low, 0), coalesce(u.next, 0), coalesce(u.top, 0), coalesce(u.seq, 0), coalesce(u.health, 0), coalesce(u.since, 0), coalesce(u.until, 0)
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key LEFT JOIN added_up AS u ON u.assignment = a.key
WHERE a.id = ?1;

-- The chain of runs of an assignment from ?1 down to, without, ?2.
-- name: chain_to_add_up
WITH RECURSIVE chain (id, ended, outcome, prev, body) AS (
  SELECT id, ended, outcome, prev, body FROM runs WHERE id = ?1 AND id > ?2
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev, r.body FROM chain AS c JOIN runs AS r ON r.id = c.prev WHERE c.prev > ?2
)
SELECT id, ended, outcome, prev, body FROM chain LIMIT ?3;

-- name: changes_to_add_up
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = ?1 AND part = ?2 AND kind = 0 AND seq > ?3 ORDER BY seq LIMIT ?4;

-- name: change_before
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = ?1 AND part = ?2 AND kind = 0 AND at < ?3 ORDER BY seq DESC LIMIT 1;

-- name: bucket
SELECT body FROM buckets WHERE tier = ? AND assignment = ? AND at = ?;

-- name: buckets
SELECT at, body FROM buckets WHERE tier = ? AND assignment = ? AND at >= ? AND at < ? ORDER BY at;

-- name: put_bucket
INSERT INTO buckets (tier, assignment, at, body) VALUES (?, ?, ?, ?) ON CONFLICT (tier, assignment, at) DO UPDATE SET body = excluded.body;

-- name: put_added_up
INSERT INTO added_up (assignment, low, next, top, seq, health, since, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (assignment) DO UPDATE SET low = excluded.low, next = excluded.next, top = excluded.top, seq = excluded.seq,
  health = excluded.health, since = excluded.since, until = excluded.until;

-- name: tiers
SELECT tier, floor, bytes FROM tiers;

-- name: grow_tier
UPDATE tiers SET bytes = max(bytes + ?, 0) WHERE tier = ?;

-- name: raise_floor
UPDATE tiers SET floor = max(floor, ?) WHERE tier = ?;

-- What the database takes, with pages that are free.
-- name: size
SELECT p.page_count * s.page_size FROM pragma_page_count() AS p, pragma_page_size() AS s;

-- What a tier takes, and where its oldest bucket is.
-- name: size_of_tier
SELECT t.bytes, coalesce((
  SELECT min(at) FROM (SELECT (SELECT min(b.at) FROM buckets AS b WHERE b.tier = ?1 AND b.assignment = a.key) AS at FROM assignments AS a)
), 0) FROM tiers AS t WHERE t.tier = ?1;

-- name: with_old_buckets
SELECT a.key FROM assignments AS a WHERE a.key > ?3 AND EXISTS (
  SELECT 1 FROM buckets AS b WHERE b.tier = ?1 AND b.assignment = a.key AND b.at < ?2
) ORDER BY a.key LIMIT ?4;

-- name: old_buckets
SELECT count(*), coalesce(sum(length(body)), 0), coalesce(max(at), 0) FROM (
  SELECT at, body FROM buckets WHERE tier = ? AND assignment = ? AND at < ? ORDER BY at LIMIT ?
);

-- name: prune_buckets
DELETE FROM buckets WHERE tier = ? AND assignment = ? AND at <= ?;
