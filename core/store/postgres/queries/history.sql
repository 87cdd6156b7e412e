-- name: run
SELECT r.id, a.id, r.ended, r.outcome, r.body, r.detail
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment WHERE r.id = $1 AND r.id > (SELECT floor FROM ledger);

-- name: runs_after
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL::bytea
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id > greatest($1::bigint, (SELECT floor FROM ledger)) ORDER BY r.id LIMIT $2;

-- name: runs_of
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL::bytea
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id > greatest($1::bigint, (SELECT floor FROM ledger)) AND r.id <= $2 AND ($3::integer >> r.outcome) & 1 = 1
ORDER BY r.id LIMIT $4;

-- name: runs_of_bad
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL::bytea
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id > greatest($1::bigint, (SELECT floor FROM ledger)) AND r.id <= $2 AND r.outcome > 0 AND ($3::integer >> r.outcome) & 1 = 1
ORDER BY r.id LIMIT $4;

-- name: desk
SELECT a.key, s.newest, s.newest_bad FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.id = $1;

-- name: desks_of_system
SELECT a.key, s.newest, s.newest_bad FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.system = $1;

-- name: link
SELECT prev, prev_bad FROM runs WHERE id = $1 AND assignment = $2;

-- Follows the chain of all runs of one assignment from $1, and ends at $6 and
-- where runs are deleted.
-- name: chain
WITH RECURSIVE chain (id, ended, outcome, prev) AS (
  SELECT id, ended, outcome, prev FROM runs WHERE id = $1 AND id > greatest($6, (SELECT floor FROM ledger))
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev
  FROM chain AS c CROSS JOIN LATERAL (SELECT id, ended, outcome, prev FROM runs WHERE id = c.prev OFFSET 0) AS r
  WHERE c.prev > greatest($6, (SELECT floor FROM ledger))
)
SELECT id FROM chain
WHERE ($2::bigint = 0 OR id < $2) AND ended >= $3 AND ($4::integer >> outcome) & 1 = 1 LIMIT $5;

-- The same, of runs that did not pass.
-- name: chain_bad
WITH RECURSIVE chain (id, ended, outcome, prev) AS (
  SELECT id, ended, outcome, prev_bad FROM runs WHERE id = $1 AND id > greatest($6, (SELECT floor FROM ledger))
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev_bad
  FROM chain AS c CROSS JOIN LATERAL (SELECT id, ended, outcome, prev_bad FROM runs WHERE id = c.prev OFFSET 0) AS r
  WHERE c.prev > greatest($6, (SELECT floor FROM ledger))
)
SELECT id FROM chain
WHERE ($2::bigint = 0 OR id < $2) AND ended >= $3 AND ($4::integer >> outcome) & 1 = 1 LIMIT $5;

-- name: newest_runs
SELECT id FROM runs WHERE id < $1 AND id > greatest($5::bigint, (SELECT floor FROM ledger)) AND ended >= $2
  AND ($3::integer >> outcome) & 1 = 1 ORDER BY id DESC LIMIT $4;

-- name: newest_runs_of_outcome
SELECT id FROM runs WHERE outcome = $3 AND outcome > 0 AND id < $1 AND id > greatest($5::bigint, (SELECT floor FROM ledger))
  AND ended >= $2 ORDER BY id DESC LIMIT $4;

-- name: mark_before
SELECT coalesce(max(id), 0) FROM marks WHERE log = $1 AND latest < $2;

-- name: runs_by_id
SELECT r.id, a.id, r.ended, r.outcome, r.body, CASE WHEN $2 THEN r.detail END
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id = ANY ($1::bigint[]) ORDER BY r.id DESC;

-- name: transitions
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE seq > $5 AND ($1::bigint = 0 OR seq < $1) AND at >= $2 AND ($3::integer < 0 OR kind = $3) ORDER BY seq DESC LIMIT $4;

-- name: transitions_of
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = $6 AND ($7::text IS NULL OR part = $7) AND seq > $5 AND ($1::bigint = 0 OR seq < $1) AND at >= $2
  AND ($3::integer < 0 OR kind = $3)
ORDER BY seq DESC LIMIT $4;

-- name: old_runs
SELECT id, ended < $1 FROM runs WHERE id >= $2 AND id > (SELECT floor FROM ledger) ORDER BY id LIMIT $3;

-- name: floor
SELECT floor FROM ledger;

-- name: raise_floor
UPDATE ledger SET floor = $1 WHERE floor < $1;

-- name: prune_marks
DELETE FROM marks WHERE log = 'runs' AND id <= $1;

-- name: prune_recordings
DELETE FROM recordings WHERE run <= $1;

-- name: old_transitions
SELECT seq FROM transitions WHERE seq >= $1 AND at < $2 ORDER BY seq LIMIT $3;

-- name: prune_transitions
DELETE FROM transitions AS t WHERE seq BETWEEN $1 AND $2 AND at < $3 AND EXISTS (
  SELECT 1 FROM transitions AS n WHERE n.scope = t.scope AND n.seq > t.seq AND n.part = t.part AND n.kind = t.kind
);

-- name: prune_decisions
DELETE FROM decisions WHERE id IN (SELECT id FROM decisions ORDER BY id LIMIT $1) AND decided < $2;

-- name: prune_firings
DELETE FROM firings WHERE number IN (
  SELECT number FROM firings WHERE created < $1 AND status NOT IN ('queued', 'running') ORDER BY number LIMIT $2 FOR UPDATE SKIP LOCKED
);
