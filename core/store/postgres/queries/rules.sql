-- One snapshot, so that the state belongs to the cursor.
-- name: journal
SELECT c.value, g.key, g.body FROM counters AS c LEFT JOIN gate_states AS g ON true WHERE c.name = 'cursor';

-- name: put_gate_state
INSERT INTO gate_states (key, body) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET body = excluded.body;

-- name: delete_gate_state
DELETE FROM gate_states WHERE key = $1;

-- name: insert_decision
INSERT INTO decisions (rule, scope, verdict, kept, decided, body) VALUES ($1, $2, $3, $4, $5, $6);

-- name: count_decisions
SELECT count(*) FROM decisions WHERE rule = $1 AND NOT kept;

-- All that may go but the newest.
-- name: trim_decisions
DELETE FROM decisions WHERE rule = $1 AND NOT kept AND id <= (
  SELECT id FROM decisions WHERE rule = $1 AND NOT kept ORDER BY id DESC OFFSET $2 LIMIT 1
);

-- name: insert_firing
INSERT INTO firings (id, rule, created, status, updated, body) VALUES ($1, $2, $3, $4, $3, $5) ON CONFLICT (id) DO NOTHING;

-- name: insert_delivery
INSERT INTO deliveries (firing, rule, place, kind, key, step, status, next, due, watch, updated)
VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $7, $8, $9)
ON CONFLICT (firing, place) DO UPDATE
SET status = 'waiting', attempts = 0, next = excluded.next, due = excluded.due, error = '', output = NULL, updated = excluded.updated
WHERE deliveries.status IN ('cancelled', 'dead');

-- Everything that changes deliveries locks their firing first.
-- name: lock_firing
SELECT status FROM firings WHERE id = $1 FOR UPDATE;

-- name: lock_firing_of
SELECT f.id FROM firings AS f JOIN deliveries AS d ON d.firing = f.id WHERE d.id = $1 FOR UPDATE OF f;

-- name: cancel_firing
UPDATE firings SET status = 'cancelled', updated = $2 WHERE id = $1 AND status IN ('queued', 'running');

-- name: cancel_deliveries
UPDATE deliveries SET status = 'cancelled', due = NULL, token = NULL, updated = $2
WHERE firing = $1 AND status IN ('waiting', 'running');

-- name: cancel_places
UPDATE deliveries SET status = 'cancelled', due = NULL, updated = $3
WHERE firing = $1 AND status = 'waiting' AND place = ANY ($2::text[]);

-- name: watched
SELECT watch FROM deliveries WHERE watch IS NOT NULL AND status IN ('waiting', 'running');

-- name: lock_watching
SELECT id FROM firings WHERE id IN (
  SELECT firing FROM deliveries WHERE watch = ANY ($1::text[]) AND status IN ('waiting', 'running')
) ORDER BY id FOR UPDATE;

-- name: wake_deliveries
UPDATE deliveries SET woken = true, due = CASE status WHEN 'waiting' THEN least(due, $2) ELSE due END
WHERE watch = ANY ($1::text[]) AND status IN ('waiting', 'running');

-- name: firing
SELECT status, body FROM firings WHERE id = $1;

-- name: active_firings
SELECT status, body FROM firings WHERE status IN ('queued', 'running') AND ($1::text = '' OR rule = $1) ORDER BY number;

-- name: firings
SELECT status, body FROM firings
WHERE ($1::bigint = 0 OR created < $1) AND (cardinality($2::text[]) = 0 OR status = ANY ($2::text[]))
ORDER BY number DESC LIMIT $3;

-- name: firings_of_rule
SELECT status, body FROM firings
WHERE rule = $4 AND ($1::bigint = 0 OR created < $1) AND (cardinality($2::text[]) = 0 OR status = ANY ($2::text[]))
ORDER BY number DESC LIMIT $3;

-- name: decisions
SELECT id, body FROM decisions
WHERE ($1::bigint = 0 OR id < $1) AND (cardinality($2::text[]) = 0 OR verdict = ANY ($2::text[])) ORDER BY id DESC LIMIT $3;

-- name: decisions_of_rule
SELECT id, body FROM decisions
WHERE rule = $4 AND ($1::bigint = 0 OR id < $1) AND ($5::text = '' OR scope = $5)
  AND (cardinality($2::text[]) = 0 OR verdict = ANY ($2::text[])) ORDER BY id DESC LIMIT $3;

-- name: decisions_of_system
SELECT id, body FROM decisions
WHERE scope = $4 AND ($1::bigint = 0 OR id < $1) AND (cardinality($2::text[]) = 0 OR verdict = ANY ($2::text[]))
ORDER BY id DESC LIMIT $3;

-- name: deliveries
SELECT id, firing, rule, place, kind, step, key, status, attempts, next, error, output, updated, trace FROM deliveries
WHERE cardinality($1::text[]) = 0 OR status = ANY ($1::text[]) ORDER BY id DESC LIMIT $2;

-- name: deliveries_of
SELECT id, firing, rule, place, kind, step, key, status, attempts, next, error, output, updated, trace FROM deliveries
WHERE firing = $3 AND (cardinality($1::text[]) = 0 OR status = ANY ($1::text[])) ORDER BY id LIMIT $2;

-- What others are about to claim, finish or cancel is passed over.
-- name: due_deliveries
SELECT d.id, d.firing, d.rule, d.place, d.kind, d.step, d.key, d.status, d.attempts, d.next, d.error, d.output, d.updated, d.trace
FROM deliveries AS d JOIN firings AS f ON f.id = d.firing
WHERE d.due <= $1 ORDER BY d.due, d.id LIMIT $2 FOR UPDATE OF f, d SKIP LOCKED;

-- name: claim_delivery
UPDATE deliveries SET status = 'running', token = $2, due = $3, woken = false, attempts = attempts + 1, updated = $4 WHERE id = $1;

-- name: run_firing
UPDATE firings SET status = 'running', updated = $2 WHERE id = $1 AND status NOT IN ('cancelled', 'running');

-- name: end_firing
UPDATE firings SET status = $2, updated = $3 WHERE id = $1 AND status IN ('queued', 'running');

-- name: extend_delivery
UPDATE deliveries SET due = $3 WHERE id = $1 AND token = $2 AND status = 'running';

-- name: finish_delivery
UPDATE deliveries SET status = $3::text, token = NULL, next = $4::bigint, error = $5, output = $6, updated = $7::bigint,
  due = CASE WHEN $3::text <> 'waiting' THEN NULL WHEN woken THEN least($4::bigint, $7::bigint) ELSE $4::bigint END,
  attempts = least(attempts, greatest($8::integer, 0)), trace = $9
WHERE id = $1 AND token = $2 AND status = 'running' RETURNING firing;

-- name: delivery_state
SELECT d.status, d.firing, f.status FROM deliveries AS d JOIN firings AS f ON f.id = d.firing WHERE d.id = $1;

-- name: resend_delivery
UPDATE deliveries SET status = 'waiting', attempts = 0, next = $2, due = $2, updated = $2 WHERE id = $1 AND status = 'dead';

-- name: next_due
SELECT coalesce(min(due), 0) FROM deliveries WHERE due IS NOT NULL;
