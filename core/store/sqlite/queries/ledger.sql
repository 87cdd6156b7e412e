-- The rows of the two below are repeated as often as rows are written at once.
-- name: insert_runs
INSERT INTO runs (id, assignment, ended, prev, outcome, prev_bad, body, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_standings
INSERT INTO standings (assignment, newest, newest_bad, body) VALUES (?, ?, ?, ?)
ON CONFLICT (assignment) DO UPDATE SET newest = excluded.newest, newest_bad = excluded.newest_bad, body = excluded.body;

-- name: insert_transition
INSERT INTO transitions (seq, at, kind, scope, part, was, now, cause, run, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: put_rollup
INSERT INTO rollups (kind, id, body) VALUES (?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body;

-- name: delete_rollup
DELETE FROM rollups WHERE kind = ? AND id = ?;

-- name: insert_mark
INSERT INTO marks (log, id, latest) VALUES (?, ?, ?);

-- name: latest_run
SELECT max(coalesce((SELECT max(latest) FROM marks WHERE log = 'runs'), 0), coalesce((
  SELECT max(ended) FROM runs WHERE id > coalesce((SELECT max(id) FROM marks WHERE log = 'runs'), 0)), 0));

-- name: latest_transition
SELECT max(coalesce((SELECT max(latest) FROM marks WHERE log = 'transitions'), 0), coalesce((
  SELECT max(at) FROM transitions WHERE seq > coalesce((SELECT max(id) FROM marks WHERE log = 'transitions'), 0)), 0));

-- name: insert_sample_name
INSERT INTO sample_names (key, name) VALUES (?, ?);

-- name: sample_names
SELECT key, name FROM sample_names;

-- name: standings
SELECT a.id, s.body FROM standings AS s JOIN assignments AS a ON a.key = s.assignment WHERE a.removed = 0;

-- name: standing
SELECT s.body FROM assignments AS a JOIN standings AS s ON s.assignment = a.key WHERE a.id = ? AND a.removed = 0;

-- name: rollups
SELECT body FROM rollups;

-- name: desks
SELECT a.key, a.id, a.removed, a.body, s.newest, s.newest_bad, s.body
FROM assignments AS a JOIN standings AS s ON s.assignment = a.key ORDER BY a.key;

-- name: head
SELECT coalesce(max(seq), 0) FROM transitions;

-- name: newest_run
SELECT max(coalesce((SELECT max(id) FROM runs), 0), coalesce((SELECT max(newest) FROM standings), 0));

-- name: transitions_after
SELECT seq, at, kind, scope, part, was, now, cause, run, body FROM transitions WHERE seq > ? ORDER BY seq LIMIT ?;
