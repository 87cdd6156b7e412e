-- History added up; see core/series.

-- tier is 1 for minutes, 2 for hours, 3 for days; at is where the bucket begins.
-- Each tier is partitioned by time, so that deleting old ones drops tables.
CREATE TABLE buckets (
  tier       integer NOT NULL,
  assignment integer NOT NULL,
  at         bigint  NOT NULL,
  body       bytea   NOT NULL,
  PRIMARY KEY (tier, assignment, at)
) PARTITION BY LIST (tier);
CREATE TABLE buckets_minutes PARTITION OF buckets FOR VALUES IN (1) PARTITION BY RANGE (at);
CREATE TABLE buckets_hours PARTITION OF buckets FOR VALUES IN (2) PARTITION BY RANGE (at);
CREATE TABLE buckets_days PARTITION OF buckets FOR VALUES IN (3) PARTITION BY RANGE (at);

-- The partitions of each tier: the first instant, and the one after the last.
CREATE TABLE bucket_partitions (
  tier  integer NOT NULL CHECK (tier BETWEEN 1 AND 3),
  first bigint  NOT NULL,
  past  bigint  NOT NULL CHECK (past > first),
  PRIMARY KEY (tier, first)
);

-- Buckets that begin before floor may be deleted.
CREATE TABLE tiers (
  tier  integer PRIMARY KEY CHECK (tier BETWEEN 1 AND 3),
  floor bigint  NOT NULL
);
INSERT INTO tiers (tier, floor) VALUES (1, 0), (2, 0), (3, 0);

-- How far the runs and transitions of an assignment are added up, see
-- series.Progress. It moves with the buckets, in one transaction.
CREATE TABLE added_up (
  assignment integer PRIMARY KEY REFERENCES assignments (key),
  low        bigint  NOT NULL CHECK (low >= 0),
  next       bigint  NOT NULL CHECK (next >= 0),
  top        bigint  NOT NULL CHECK ((top = 0) = (next = 0)),
  seq        bigint  NOT NULL CHECK (seq >= 0),
  health     integer NOT NULL CHECK (health BETWEEN 0 AND 4),
  since      bigint  NOT NULL,
  until      bigint  NOT NULL
) WITH (fillfactor = 50);
