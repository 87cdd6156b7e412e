-- name: run
SELECT r.id, a.id, r.ended, r.outcome, r.body, r.detail
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment WHERE r.id = ?;

-- name: runs_after
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment WHERE r.id > ? ORDER BY r.id LIMIT ?;

-- name: runs_of
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id > ?1 AND r.id <= ?2 AND (?3 = 15 OR (?3 >> r.outcome) & 1) ORDER BY r.id LIMIT ?4;

-- name: runs_of_bad
SELECT r.id, a.id, r.ended, r.outcome, r.body, NULL
FROM (
  SELECT id FROM runs WHERE outcome = 1 AND outcome > 0 AND (?3 >> 1) & 1 AND id > ?1 AND id <= ?2
  UNION ALL SELECT id FROM runs WHERE outcome = 2 AND outcome > 0 AND (?3 >> 2) & 1 AND id > ?1 AND id <= ?2
  UNION ALL SELECT id FROM runs WHERE outcome = 3 AND outcome > 0 AND (?3 >> 3) & 1 AND id > ?1 AND id <= ?2
  ORDER BY id LIMIT ?4
) AS wanted JOIN runs AS r ON r.id = wanted.id JOIN assignments AS a ON a.key = r.assignment ORDER BY r.id;

-- name: desk
SELECT a.key, s.newest, s.newest_bad FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.id = ?;

-- name: desks_of_system
SELECT a.key, s.newest, s.newest_bad FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.system = ?;

-- name: link
SELECT prev, prev_bad FROM runs WHERE id = ? AND assignment = ?;

-- Follows the chain of all runs of one assignment from ?1, and ends at ?6.
-- name: chain
WITH RECURSIVE chain (id, ended, outcome, prev) AS (
  SELECT id, ended, outcome, prev FROM runs WHERE id = ?1
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev FROM chain AS c JOIN runs AS r ON r.id = c.prev
  WHERE c.prev > ?6
)
SELECT id FROM chain
WHERE (?2 = 0 OR id < ?2) AND ended >= ?3 AND (?4 = 15 OR (?4 >> outcome) & 1) LIMIT ?5;

-- The same, of runs that did not pass.
-- name: chain_bad
WITH RECURSIVE chain (id, ended, outcome, prev) AS (
  SELECT id, ended, outcome, prev_bad FROM runs WHERE id = ?1
  UNION ALL
  SELECT r.id, r.ended, r.outcome, r.prev_bad FROM chain AS c JOIN runs AS r ON r.id = c.prev
  WHERE c.prev > ?6
)
SELECT id FROM chain
WHERE (?2 = 0 OR id < ?2) AND ended >= ?3 AND (?4 >> outcome) & 1 LIMIT ?5;

-- name: newest_runs
SELECT id FROM runs WHERE id < ?1 AND id > ?5 AND ended >= ?2 AND (?3 = 15 OR (?3 >> outcome) & 1) ORDER BY id DESC LIMIT ?4;

-- name: newest_runs_of_outcome
SELECT id FROM runs WHERE outcome = ?3 AND outcome > 0 AND id < ?1 AND id > ?5 AND ended >= ?2 ORDER BY id DESC LIMIT ?4;

-- name: mark_before
SELECT coalesce(max(id), 0) FROM marks WHERE log = ? AND latest < ?;

-- name: runs_by_id
SELECT r.id, a.id, r.ended, r.outcome, r.body, CASE WHEN ?2 THEN r.detail END
FROM runs AS r JOIN assignments AS a ON a.key = r.assignment
WHERE r.id IN (SELECT value FROM json_each(?1)) ORDER BY r.id DESC;

-- name: transitions
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE seq > ?5 AND (?1 = 0 OR seq < ?1) AND at >= ?2 AND (?3 < 0 OR kind = ?3) ORDER BY seq DESC LIMIT ?4;

-- name: transitions_of
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions
WHERE scope = ?6 AND (?7 IS NULL OR part = ?7) AND seq > ?5 AND (?1 = 0 OR seq < ?1) AND at >= ?2 AND (?3 < 0 OR kind = ?3)
ORDER BY seq DESC LIMIT ?4;

-- name: old_runs
SELECT id, ended < ? FROM runs WHERE id >= ? ORDER BY id LIMIT ?;

-- name: prune_runs
DELETE FROM runs WHERE id BETWEEN ? AND ? AND ended < ?;

-- The first and the last run, and what one takes on average, of some of the
-- oldest and of the newest.
-- name: size_of_runs
SELECT coalesce((SELECT min(id) FROM runs), 0), coalesce((SELECT max(id) FROM runs), 0), coalesce((
  SELECT avg(18 + length(body) + coalesce(length(detail), 0)) FROM (
    SELECT * FROM (SELECT body, detail FROM runs ORDER BY id LIMIT ?1) UNION ALL SELECT * FROM (SELECT body, detail FROM runs ORDER BY id DESC LIMIT ?1)
  )
), 0);

-- name: prune_marks
DELETE FROM marks WHERE log = 'runs' AND id <= ?;

-- name: old_transitions
SELECT seq FROM transitions WHERE seq >= ? AND at < ? ORDER BY seq LIMIT ?;

-- name: prune_transitions
DELETE FROM transitions AS t WHERE seq BETWEEN ?1 AND ?2 AND at < ?3 AND EXISTS (
  SELECT 1 FROM transitions AS n WHERE n.scope = t.scope AND n.seq > t.seq AND n.part = t.part AND n.kind = t.kind
);

-- name: prune_decisions
DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE id >= ?1 ORDER BY id LIMIT ?2) AND decided < ?3;

-- name: prune_firings
DELETE FROM firings WHERE number IN (
  SELECT number FROM firings WHERE created < ?1 AND status NOT IN ('queued', 'running') ORDER BY number LIMIT ?2
);
