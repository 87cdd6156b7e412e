-- Steps of flow. place is a path now, since steps can be within steps, and
-- several steps of a firing can run at once. A delivery is made when its step
-- begins: what waits for an earlier step is not there yet.
--
-- watch is the scope whose changes a step waits for; woken says that there was
-- one while the delivery was claimed.
CREATE TABLE new_deliveries (
  id       INTEGER PRIMARY KEY,
  firing   TEXT    NOT NULL REFERENCES firings (id) ON DELETE CASCADE,
  rule     TEXT    NOT NULL,
  place    TEXT    NOT NULL CHECK (place <> ''),
  kind     TEXT    NOT NULL,
  key      TEXT    NOT NULL UNIQUE,
  step     TEXT    NOT NULL CHECK (json_valid(step)),
  status   TEXT    NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'skipped', 'dead', 'cancelled')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next     INTEGER NOT NULL,
  due      INTEGER,
  token    TEXT,
  watch    TEXT,
  woken    INTEGER NOT NULL DEFAULT 0 CHECK (woken IN (0, 1)),
  error    TEXT    NOT NULL DEFAULT '',
  output   BLOB,
  trace    TEXT CHECK (trace IS NULL OR json_valid(trace)),
  updated  INTEGER NOT NULL,
  UNIQUE (firing, place),
  CHECK ((status = 'running') = (token IS NOT NULL)),
  CHECK ((due IS NOT NULL) = (status IN ('waiting', 'running')))
) STRICT;
INSERT INTO new_deliveries (id, firing, rule, place, kind, key, step, status, attempts, next, due, token, error, output, trace, updated)
SELECT id, firing, rule, place, step ->> '$.action', key, step, status, attempts, next, due, token, error, output, trace, updated
FROM deliveries WHERE status <> 'waiting' OR due IS NOT NULL;
DROP TABLE deliveries;
ALTER TABLE new_deliveries RENAME TO deliveries;
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
CREATE INDEX deliveries_watching ON deliveries (watch) WHERE watch IS NOT NULL AND status IN ('waiting', 'running');
CREATE INDEX deliveries_by_status ON deliveries (status);
CREATE INDEX deliveries_by_firing ON deliveries (firing);
