-- Who was let in, and sealed values.

CREATE TABLE sessions (
  hash    BLOB PRIMARY KEY,
  kind    TEXT    NOT NULL,
  user    TEXT    NOT NULL,
  role    TEXT    NOT NULL,
  created INTEGER NOT NULL,
  expires INTEGER NOT NULL,
  used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_expiry ON sessions (expires) WHERE expires > 0;

CREATE TABLE secrets (
  name    TEXT PRIMARY KEY,
  sealed  BLOB    NOT NULL,
  by      TEXT    NOT NULL,
  updated INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
