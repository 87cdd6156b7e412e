-- What people wrote.

CREATE TABLE objects (
  kind    TEXT    NOT NULL,
  id      TEXT    NOT NULL,
  version INTEGER NOT NULL CHECK (version > 0),
  body    TEXT    NOT NULL CHECK (json_valid(body)),
  created INTEGER NOT NULL,
  updated INTEGER NOT NULL,
  by      TEXT    NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

-- Numbers of which there is one: the version of the catalog, the cursor of the
-- rules.
CREATE TABLE counters (
  name  TEXT PRIMARY KEY,
  value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('catalog', 0), ('cursor', 0);
CREATE TRIGGER counters_never_go_back BEFORE UPDATE ON counters
WHEN NEW.value < OLD.value
BEGIN
  SELECT raise(ABORT, 'a counter never goes back');
END;

CREATE TABLE modules (
  name    TEXT    NOT NULL,
  version TEXT    NOT NULL,
  digest  TEXT    NOT NULL REFERENCES module_files (digest),
  active  INTEGER NOT NULL CHECK (active IN (0, 1)),
  created INTEGER NOT NULL,
  body    TEXT    NOT NULL CHECK (json_valid(body)),
  PRIMARY KEY (name, version)
) STRICT;
CREATE UNIQUE INDEX modules_have_one_active ON modules (name) WHERE active = 1;
CREATE INDEX modules_by_digest ON modules (digest);

CREATE TABLE module_files (
  digest TEXT PRIMARY KEY,
  file   BLOB NOT NULL
) STRICT;
