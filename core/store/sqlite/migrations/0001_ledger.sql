-- Runs, the health they move, and the log of its changes.
--
-- Instants are nanoseconds since 1970 UTC, 0 for none. Assignments are
-- referred to by a small integer, so that a run costs few bytes.

CREATE TABLE systems (
  id   TEXT PRIMARY KEY,
  body TEXT NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

-- A removed assignment keeps its row and key: its runs are still history, and
-- it may come back.
CREATE TABLE assignments (
  key     INTEGER PRIMARY KEY,
  id      TEXT    NOT NULL UNIQUE,
  system  TEXT    NOT NULL,
  body    TEXT    NOT NULL CHECK (json_valid(body)),
  removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1))
) STRICT;
CREATE INDEX assignments_by_system ON assignments (system);

-- newest and newest_bad are the heads of two chains through runs: all runs of
-- the assignment, and those that did not pass. 0: none.
CREATE TABLE standings (
  assignment INTEGER PRIMARY KEY REFERENCES assignments (key),
  newest     INTEGER NOT NULL DEFAULT 0,
  newest_bad INTEGER NOT NULL DEFAULT 0 CHECK (newest_bad <= newest),
  body       BLOB    NOT NULL
) STRICT;

CREATE TABLE rollups (
  kind INTEGER NOT NULL CHECK (kind IN (1, 2)),
  id   TEXT    NOT NULL,
  body TEXT    NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Runs are only ever appended. Each names the previous run of its assignment
-- (and, when it did not pass, the previous one that did not): an index on the
-- assignment would dirty one page for every run of a batch, while following
-- the chain costs a few microseconds a run and only to whoever reads. The
-- assignment has no REFERENCES because keys are never deleted and the look-up
-- would be paid by every run.
CREATE TABLE runs (
  id         INTEGER PRIMARY KEY CHECK (id > 0),
  assignment INTEGER NOT NULL,
  ended      INTEGER NOT NULL,
  prev       INTEGER NOT NULL CHECK (prev >= 0 AND prev < id),
  outcome    INTEGER NOT NULL CHECK (outcome BETWEEN 0 AND 3),
  prev_bad   INTEGER CHECK (prev_bad >= 0 AND prev_bad < id),
  body       BLOB NOT NULL,
  detail     BLOB
) STRICT;
CREATE INDEX runs_by_outcome ON runs (outcome) WHERE outcome > 0;

-- Names of samples, so that a run holds a number instead of each name.
CREATE TABLE sample_names (
  key  INTEGER PRIMARY KEY CHECK (key > 0),
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The log. kind is 0 for an assignment, 1 for a system, 2 for a group; scope is
-- the id of the system, or "@" and the id of the group; part is the check.
CREATE TABLE transitions (
  seq   INTEGER PRIMARY KEY,
  at    INTEGER NOT NULL,
  kind  INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
  scope TEXT    NOT NULL,
  part  TEXT    NOT NULL,
  was   INTEGER NOT NULL CHECK (was BETWEEN 0 AND 4),
  now   INTEGER NOT NULL CHECK (now BETWEEN 0 AND 4),
  cause TEXT    NOT NULL,
  run   INTEGER NOT NULL,
  body  TEXT    NOT NULL CHECK (json_valid(body)),
  CHECK (was <> now)
) STRICT;
CREATE INDEX transitions_by_scope ON transitions (scope);

-- Every thousandth run and transition, with the latest instant of all up to it:
-- what is older than an instant can be left out without an index on instants.
CREATE TABLE marks (
  log    TEXT    NOT NULL CHECK (log IN ('runs', 'transitions')),
  id     INTEGER NOT NULL,
  latest INTEGER NOT NULL,
  PRIMARY KEY (log, id)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER transitions_have_no_gap BEFORE INSERT ON transitions
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM transitions), 0) + 1
BEGIN
  SELECT raise(ABORT, 'seq of a transition must be one more than the greatest');
END;
CREATE TRIGGER transitions_keep_the_newest BEFORE DELETE ON transitions
WHEN OLD.seq = (SELECT max(seq) FROM transitions)
BEGIN
  SELECT raise(ABORT, 'the newest transition is never deleted');
END;
