-- Who was let in, and sealed values.

CREATE TABLE sessions (
  hash     bytea  PRIMARY KEY,
  kind     text   NOT NULL,
  username text   NOT NULL,
  role     text   NOT NULL,
  created  bigint NOT NULL,
  expires  bigint NOT NULL,
  used     bigint NOT NULL
);
CREATE INDEX sessions_by_expiry ON sessions (expires) WHERE expires > 0;

CREATE TABLE secrets (
  name    text   PRIMARY KEY,
  sealed  bytea  NOT NULL,
  by      text   NOT NULL,
  updated bigint NOT NULL
);
