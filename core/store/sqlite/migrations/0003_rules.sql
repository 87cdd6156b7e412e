-- What rules know, decided and do.

-- Opaque to the store; only package rules can read the bodies.
CREATE TABLE gate_states (
  key  TEXT PRIMARY KEY,
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- scope is the id of the system that the subject is or belongs to, or "@" and
-- the id of a group. kept is 1 for fires and recoveries, which no bound on the
-- number of a rule's decisions removes.
CREATE TABLE decisions (
  id      INTEGER PRIMARY KEY,
  rule    TEXT    NOT NULL,
  scope   TEXT    NOT NULL,
  verdict TEXT    NOT NULL,
  kept    INTEGER NOT NULL CHECK (kept IN (0, 1)),
  decided INTEGER NOT NULL,
  body    TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE INDEX decisions_by_rule ON decisions (rule);
CREATE INDEX decisions_to_trim ON decisions (rule) WHERE kept = 0;
CREATE INDEX decisions_by_scope ON decisions (scope);

CREATE TABLE firings (
  number  INTEGER PRIMARY KEY,
  id      TEXT    NOT NULL UNIQUE,
  rule    TEXT    NOT NULL,
  created INTEGER NOT NULL,
  status  TEXT    NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  updated INTEGER NOT NULL,
  body    TEXT    NOT NULL CHECK (json_valid(body))
) STRICT;
CREATE INDEX firings_by_rule ON firings (rule);
CREATE INDEX firings_active ON firings (rule) WHERE status IN ('queued', 'running');

-- due is when the delivery can be claimed: its next attempt, or the end of the
-- claim on it. It is absent while an earlier step of the firing is unfinished
-- and when the delivery is final, so that the index holds only what can be
-- claimed. token proves the claim.
CREATE TABLE deliveries (
  id       INTEGER PRIMARY KEY,
  firing   TEXT    NOT NULL REFERENCES firings (id) ON DELETE CASCADE,
  rule     TEXT    NOT NULL,
  place    INTEGER NOT NULL CHECK (place >= 0),
  key      TEXT    NOT NULL UNIQUE,
  step     TEXT    NOT NULL CHECK (json_valid(step)),
  goes_on  INTEGER NOT NULL CHECK (goes_on IN (0, 1)),
  status   TEXT    NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'skipped', 'dead', 'cancelled')),
  attempts INTEGER NOT NULL DEFAULT 0,
  next     INTEGER NOT NULL,
  due      INTEGER,
  token    TEXT,
  error    TEXT    NOT NULL DEFAULT '',
  output   BLOB,
  updated  INTEGER NOT NULL,
  UNIQUE (firing, place),
  CHECK ((status = 'running') = (token IS NOT NULL)),
  CHECK (due IS NULL OR status IN ('waiting', 'running')),
  CHECK (status <> 'running' OR due IS NOT NULL)
) STRICT;
CREATE INDEX deliveries_due ON deliveries (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX deliveries_run_one_at_a_time ON deliveries (firing) WHERE status = 'running';
CREATE INDEX deliveries_by_status ON deliveries (status);
