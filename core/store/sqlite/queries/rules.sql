-- name: gate_states
SELECT key, body FROM gate_states;

-- name: put_gate_state
INSERT INTO gate_states (key, body) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET body = excluded.body;

-- name: delete_gate_state
DELETE FROM gate_states WHERE key = ?;

-- name: newest_decision
SELECT coalesce(max(id), 0) FROM decisions;

-- name: insert_decision
INSERT INTO decisions (id, rule, scope, verdict, kept, decided, body) VALUES (?, ?, ?, ?, ?, ?, ?);

-- name: count_decisions
SELECT count(*) FROM decisions WHERE rule = ? AND kept = 0;

-- name: trim_decisions
DELETE FROM decisions WHERE id IN (SELECT id FROM decisions WHERE rule = ?1 AND kept = 0 ORDER BY id LIMIT ?2);

-- name: insert_firing
INSERT INTO firings (id, rule, created, status, updated, body) VALUES (?1, ?2, ?3, ?4, ?3, ?5) ON CONFLICT (id) DO NOTHING;

-- name: insert_delivery
INSERT INTO deliveries (firing, rule, place, kind, key, step, status, next, due, watch, updated)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'waiting', ?7, ?7, ?8, ?9)
ON CONFLICT (firing, place) DO UPDATE
SET status = 'waiting', attempts = 0, next = excluded.next, due = excluded.due, error = '', output = NULL, updated = excluded.updated
WHERE deliveries.status IN ('cancelled', 'dead');

-- name: cancel_firing
UPDATE firings SET status = 'cancelled', updated = ?2 WHERE id = ?1 AND status IN ('queued', 'running');

-- name: cancel_deliveries
UPDATE deliveries SET status = 'cancelled', due = NULL, token = NULL, updated = ?2
WHERE firing = ?1 AND status IN ('waiting', 'running');

-- name: cancel_places
UPDATE deliveries SET status = 'cancelled', due = NULL, updated = ?3
WHERE firing = ?1 AND status = 'waiting' AND place IN (SELECT value FROM json_each(?2));

-- name: watched
SELECT watch FROM deliveries WHERE watch IS NOT NULL AND status IN ('waiting', 'running');

-- name: wake_deliveries
UPDATE deliveries SET woken = 1, due = CASE status WHEN 'waiting' THEN min(due, ?2) ELSE due END
WHERE watch = ?1 AND status IN ('waiting', 'running');

-- name: firing
SELECT status, body FROM firings WHERE id = ?;

-- There are few at any time, and many that have ended: sort them rather than
-- look for them in order.
-- name: active_firings
SELECT status, body FROM firings INDEXED BY firings_active WHERE status IN ('queued', 'running') ORDER BY number;

-- name: active_firings_of_rule
SELECT status, body FROM firings INDEXED BY firings_active WHERE status IN ('queued', 'running') AND rule = ? ORDER BY number;

-- name: firings
SELECT status, body FROM firings
WHERE (?1 = 0 OR created < ?1) AND (json_array_length(?2) = 0 OR status IN (SELECT value FROM json_each(?2)))
ORDER BY number DESC LIMIT ?3;

-- name: firings_of_rule
SELECT status, body FROM firings
WHERE rule = ?4 AND (?1 = 0 OR created < ?1) AND (json_array_length(?2) = 0 OR status IN (SELECT value FROM json_each(?2)))
ORDER BY number DESC LIMIT ?3;

-- name: decisions
SELECT id, body FROM decisions
WHERE (?1 = 0 OR id < ?1) AND (json_array_length(?2) = 0 OR verdict IN (SELECT value FROM json_each(?2)))
ORDER BY id DESC LIMIT ?3;

-- name: decisions_of_rule
SELECT id, body FROM decisions
WHERE rule = ?4 AND (?1 = 0 OR id < ?1) AND (?5 = '' OR scope = ?5)
  AND (json_array_length(?2) = 0 OR verdict IN (SELECT value FROM json_each(?2)))
ORDER BY id DESC LIMIT ?3;

-- name: decisions_of_system
SELECT id, body FROM decisions
WHERE scope = ?4 AND (?1 = 0 OR id < ?1) AND (json_array_length(?2) = 0 OR verdict IN (SELECT value FROM json_each(?2)))
ORDER BY id DESC LIMIT ?3;

-- name: deliveries
SELECT id, firing, rule, place, kind, step, key, status, attempts, next, error, output, updated, trace FROM deliveries
WHERE json_array_length(?1) = 0 OR status IN (SELECT value FROM json_each(?1)) ORDER BY id DESC LIMIT ?2;

-- name: deliveries_of
SELECT id, firing, rule, place, kind, step, key, status, attempts, next, error, output, updated, trace FROM deliveries
WHERE firing = ?3 AND (json_array_length(?1) = 0 OR status IN (SELECT value FROM json_each(?1))) ORDER BY id LIMIT ?2;

-- name: due_deliveries
SELECT id, firing, rule, place, kind, step, key, status, attempts, next, error, output, updated, trace FROM deliveries
WHERE due <= ? ORDER BY due, id LIMIT ?;

-- name: claim_delivery
UPDATE deliveries SET status = 'running', token = ?2, due = ?3, woken = 0, attempts = attempts + 1, updated = ?4 WHERE id = ?1;

-- name: run_firing
UPDATE firings SET status = 'running', updated = ?2 WHERE id = ?1 AND status <> 'cancelled' AND status <> 'running';

-- name: end_firing
UPDATE firings SET status = ?2, updated = ?3 WHERE id = ?1 AND status IN ('queued', 'running');

-- name: extend_delivery
UPDATE deliveries SET due = ?3 WHERE id = ?1 AND token = ?2 AND status = 'running';

-- name: finish_delivery
UPDATE deliveries SET status = ?3, token = NULL, next = ?4, error = ?5, output = ?6, updated = ?7,
  due = CASE WHEN ?3 <> 'waiting' THEN NULL WHEN woken THEN min(?4, ?7) ELSE ?4 END,
  attempts = min(attempts, max(?8, 0)), trace = ?9
WHERE id = ?1 AND token = ?2 AND status = 'running' RETURNING firing;

-- name: delivery_state
SELECT d.status, d.firing, f.status FROM deliveries AS d JOIN firings AS f ON f.id = d.firing WHERE d.id = ?;

-- name: resend_delivery
UPDATE deliveries SET status = 'waiting', attempts = 0, next = ?2, due = ?2, updated = ?2 WHERE id = ?1 AND status = 'dead';

-- name: next_due
SELECT coalesce(min(due), 0) FROM deliveries WHERE due IS NOT NULL;
