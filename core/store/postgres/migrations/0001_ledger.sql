-- Runs, the health they move, and the log of its changes.
--
-- Instants are nanoseconds since 1970 UTC, 0 for none. Assignments are referred
-- to by a small integer, so that a run costs few bytes.

-- One row: who may write, and how far the ledger is. epoch counts the processes
-- that took the database over; turn counts ledger transactions, so that one
-- whose commit was not answered can be told to have taken place or not.
CREATE TABLE ledger (
  one               boolean PRIMARY KEY DEFAULT true CHECK (one),
  epoch             bigint NOT NULL,
  turn              bigint NOT NULL,
  run               bigint NOT NULL,
  latest_run        bigint NOT NULL,
  seq               bigint NOT NULL,
  latest_transition bigint NOT NULL,
  floor             bigint NOT NULL CHECK (floor <= run) -- runs up to here are deleted
) WITH (fillfactor = 50);
INSERT INTO ledger VALUES (true, 0, 0, 0, 0, 0, 0, 0);

CREATE FUNCTION ledger_never_goes_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch < OLD.epoch OR NEW.turn < OLD.turn OR NEW.run < OLD.run OR NEW.seq < OLD.seq OR NEW.floor < OLD.floor THEN
    RAISE EXCEPTION 'the ledger never goes back';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ledger_never_goes_back BEFORE UPDATE ON ledger FOR EACH ROW EXECUTE FUNCTION ledger_never_goes_back();

CREATE TABLE systems (
  id   text PRIMARY KEY,
  body json NOT NULL
);

-- A removed assignment keeps its row and key: its runs are still history, and
-- it may come back.
CREATE TABLE assignments (
  key     integer PRIMARY KEY,
  id      text    NOT NULL UNIQUE,
  system  text    NOT NULL,
  body    json    NOT NULL,
  removed boolean NOT NULL DEFAULT false
);
CREATE INDEX assignments_by_system ON assignments (system);

-- newest and newest_bad are the heads of two chains through runs: all runs of
-- the assignment, and those that did not pass. 0: none. Half of each page is
-- left free, so that a new version of a row needs no new entry in the index.
CREATE TABLE standings (
  assignment integer PRIMARY KEY REFERENCES assignments (key),
  newest     bigint NOT NULL DEFAULT 0,
  newest_bad bigint NOT NULL DEFAULT 0 CHECK (newest_bad <= newest),
  body       bytea  NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE rollups (
  kind integer NOT NULL CHECK (kind IN (1, 2)),
  id   text    NOT NULL,
  body json    NOT NULL,
  PRIMARY KEY (kind, id)
) WITH (fillfactor = 50);

-- Runs are only ever appended, and their ids ascend in the order in which they
-- were recorded: a range of ids is a stretch of time. A partition is such a
-- range, made to hold about a day; deleting old runs drops it whole. Each run
-- names the previous run of its assignment (and, when it did not pass, the
-- previous one that did not), so that no index on the assignment is needed.
CREATE TABLE runs (
  id         bigint   NOT NULL CHECK (id > 0),
  ended      bigint   NOT NULL,
  prev       bigint   NOT NULL CHECK (prev >= 0 AND prev < id),
  prev_bad   bigint   CHECK (prev_bad >= 0 AND prev_bad < id),
  assignment integer  NOT NULL,
  outcome    smallint NOT NULL CHECK (outcome BETWEEN 0 AND 3),
  body       bytea    NOT NULL,
  detail     bytea,
  PRIMARY KEY (id)
) PARTITION BY RANGE (id);
CREATE INDEX runs_by_outcome ON runs (outcome, id) WHERE outcome > 0;

-- The partitions of runs: the first id, and the one after the last.
CREATE TABLE run_partitions (
  first bigint PRIMARY KEY,
  past  bigint NOT NULL CHECK (past > first),
  began bigint NOT NULL
);

-- Names of samples, so that a run holds a number instead of each name. A module
-- may use any bytes.
CREATE TABLE sample_names (
  key  integer PRIMARY KEY CHECK (key > 0),
  name bytea   NOT NULL UNIQUE
);

-- The log. kind is 0 for an assignment, 1 for a system, 2 for a group; scope is
-- the id of the system, or "@" and the id of the group; part is the check.
CREATE TABLE transitions (
  seq   bigint  PRIMARY KEY,
  at    bigint  NOT NULL,
  kind  integer NOT NULL CHECK (kind BETWEEN 0 AND 2),
  scope text    NOT NULL,
  part  text    NOT NULL,
  was   integer NOT NULL CHECK (was BETWEEN 0 AND 4),
  now   integer NOT NULL CHECK (now BETWEEN 0 AND 4),
  cause text    NOT NULL,
  run   bigint  NOT NULL,
  body  json    NOT NULL,
  CHECK (was <> now)
);
CREATE INDEX transitions_by_scope ON transitions (scope, seq);

-- Every thousandth run and transition, with the latest instant of all up to it:
-- what is older than an instant can be left out without an index on instants.
CREATE TABLE marks (
  log    text   NOT NULL CHECK (log IN ('runs', 'transitions')),
  id     bigint NOT NULL,
  latest bigint NOT NULL,
  PRIMARY KEY (log, id)
);

CREATE FUNCTION transitions_have_no_gap() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  n bigint; low bigint; high bigint; previous bigint;
BEGIN
  SELECT count(*), min(seq), max(seq) INTO n, low, high FROM added;
  SELECT coalesce(max(seq), 0) INTO previous FROM transitions WHERE seq < low;
  IF n > 0 AND (high - low + 1 <> n OR previous <> low - 1 OR high <> (SELECT max(seq) FROM transitions)) THEN
    RAISE EXCEPTION 'seq of a transition must be one more than the greatest';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER transitions_have_no_gap AFTER INSERT ON transitions
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION transitions_have_no_gap();

CREATE FUNCTION transitions_keep_the_newest() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT max(seq) FROM gone) > (SELECT coalesce(max(seq), 0) FROM transitions) THEN
    RAISE EXCEPTION 'the newest transition is never deleted';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER transitions_keep_the_newest AFTER DELETE ON transitions
REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION transitions_keep_the_newest();
