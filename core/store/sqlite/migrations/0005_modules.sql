-- Releases of modules, what modules keep between runs, and recordings of runs.

-- A row for each name that has a version. body holds what stable, the aliases
-- and the canary mean, see core.Release; last_number is never given again
-- while the name is in use.
CREATE TABLE releases (
  name        TEXT    PRIMARY KEY,
  kind        TEXT    NOT NULL CHECK (kind IN ('wasm', 'script')),
  last_number INTEGER NOT NULL CHECK (last_number > 0),
  revision    INTEGER NOT NULL CHECK (revision >= 0),
  body        TEXT    NOT NULL CHECK (json_valid(body))
) STRICT, WITHOUT ROWID;

ALTER TABLE modules ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
UPDATE modules SET number = (
  SELECT count(*) FROM modules AS m WHERE m.name = modules.name AND (m.created, m.rowid) <= (modules.created, modules.rowid)
);
CREATE UNIQUE INDEX modules_by_number ON modules (name, number);

-- What was active had been reviewed by whoever activated it.
UPDATE modules SET body = json_set(body, '$.kind', 'wasm');
UPDATE modules SET body = json_set(body, '$.granted', strftime('%Y-%m-%dT%H:%M:%SZ', created / 1000000000, 'unixepoch')) WHERE active = 1;

INSERT INTO releases (name, kind, last_number, revision, body)
SELECT name, 'wasm', max(number), 1, CASE WHEN max(active) = 1
  THEN json_object('name', name, 'revision', 1, 'stable', max(CASE WHEN active = 1 THEN version END))
  ELSE json_object('name', name, 'revision', 1) END
FROM modules GROUP BY name;

-- Every version that a release names is stored.
CREATE TABLE release_versions (
  name    TEXT NOT NULL REFERENCES releases (name) ON DELETE CASCADE,
  version TEXT NOT NULL,
  PRIMARY KEY (name, version),
  FOREIGN KEY (name, version) REFERENCES modules (name, version)
) STRICT, WITHOUT ROWID;
INSERT INTO release_versions (name, version) SELECT name, version FROM modules WHERE active = 1;

-- What a module keeps between its runs. assignment is empty in the scope that
-- all assignments of the module share.
CREATE TABLE kept_values (
  module     TEXT NOT NULL,
  assignment TEXT NOT NULL,
  key        BLOB NOT NULL,
  value      BLOB NOT NULL,
  PRIMARY KEY (module, assignment, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX kept_values_by_assignment ON kept_values (assignment) WHERE assignment <> '';

-- What a run of a module depended on, compressed. The run has no REFERENCES:
-- pruning would look here for each of a million runs that have none.
CREATE TABLE recordings (
  run        INTEGER NOT NULL,
  step       TEXT    NOT NULL,
  assignment INTEGER NOT NULL,
  body       BLOB    NOT NULL,
  PRIMARY KEY (run, step)
) STRICT;
CREATE INDEX recordings_by_assignment ON recordings (assignment, run);
