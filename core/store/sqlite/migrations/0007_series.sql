-- History added up; see core/series.

-- tier is 1 for minutes, 2 for hours, 3 for days; at is where the bucket begins.
-- The buckets of one assignment are together, because that is how they are read.
CREATE TABLE buckets (
  tier       INTEGER NOT NULL CHECK (tier BETWEEN 1 AND 3),
  assignment INTEGER NOT NULL,
  at         INTEGER NOT NULL,
  body       BLOB    NOT NULL,
  PRIMARY KEY (tier, assignment, at)
) STRICT, WITHOUT ROWID;

-- Buckets that begin before floor are deleted. bytes is about what the others
-- take: it is kept up to date, because counting would read all of them.
CREATE TABLE tiers (
  tier  INTEGER PRIMARY KEY CHECK (tier BETWEEN 1 AND 3),
  floor INTEGER NOT NULL,
  bytes INTEGER NOT NULL CHECK (bytes >= 0)
) STRICT;
INSERT INTO tiers (tier, floor, bytes) VALUES (1, 0, 0), (2, 0, 0), (3, 0, 0);

-- How far the runs and transitions of an assignment are added up, see
-- series.Progress. It moves with the buckets, in one transaction.
CREATE TABLE added_up (
  assignment INTEGER PRIMARY KEY REFERENCES assignments (key),
  low        INTEGER NOT NULL CHECK (low >= 0),
  next       INTEGER NOT NULL CHECK (next >= 0),
  top        INTEGER NOT NULL CHECK ((top = 0) = (next = 0)),
  seq        INTEGER NOT NULL CHECK (seq >= 0),
  health     INTEGER NOT NULL CHECK (health BETWEEN 0 AND 4),
  since      INTEGER NOT NULL,
  until      INTEGER NOT NULL
) STRICT;
