-- What people wrote, and modules with what they keep.

CREATE TABLE objects (
  kind    text   NOT NULL,
  id      text   NOT NULL,
  version bigint NOT NULL CHECK (version > 0),
  body    json   NOT NULL,
  created bigint NOT NULL,
  updated bigint NOT NULL,
  by      text   NOT NULL,
  PRIMARY KEY (kind, id)
);

-- Numbers of which there is one: the version of the catalog, the cursor of the
-- rules.
CREATE TABLE counters (
  name  text PRIMARY KEY,
  value bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO counters (name, value) VALUES ('catalog', 0), ('cursor', 0);
CREATE FUNCTION counters_never_go_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.value < OLD.value THEN
    RAISE EXCEPTION 'a counter never goes back';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER counters_never_go_back BEFORE UPDATE ON counters FOR EACH ROW EXECUTE FUNCTION counters_never_go_back();

CREATE TABLE module_files (
  digest text PRIMARY KEY,
  file   bytea NOT NULL
);

-- A row for each name that has a version; see core.Release for the body.
-- last_number is never given again while the name is in use.
CREATE TABLE releases (
  name        text    PRIMARY KEY,
  kind        text    NOT NULL CHECK (kind IN ('wasm', 'script')),
  last_number integer NOT NULL CHECK (last_number > 0),
  revision    bigint  NOT NULL CHECK (revision >= 0),
  body        json    NOT NULL
);

CREATE TABLE modules (
  name    text    NOT NULL,
  version text    NOT NULL,
  digest  text    NOT NULL REFERENCES module_files (digest),
  number  integer NOT NULL,
  active  boolean NOT NULL,
  created bigint  NOT NULL,
  body    json    NOT NULL,
  PRIMARY KEY (name, version),
  UNIQUE (name, number)
);
CREATE UNIQUE INDEX modules_have_one_active ON modules (name) WHERE active;
CREATE INDEX modules_by_digest ON modules (digest);

-- Every version that a release names is stored.
CREATE TABLE release_versions (
  name    text NOT NULL REFERENCES releases (name) ON DELETE CASCADE,
  version text NOT NULL,
  PRIMARY KEY (name, version),
  FOREIGN KEY (name, version) REFERENCES modules (name, version)
);

-- What a module keeps between its runs. assignment is empty in the scope that
-- all assignments of the module share.
CREATE TABLE kept_values (
  module     text  NOT NULL,
  assignment text  NOT NULL,
  key        bytea NOT NULL,
  value      bytea NOT NULL,
  PRIMARY KEY (module, assignment, key)
);
CREATE INDEX kept_values_by_assignment ON kept_values (assignment) WHERE assignment <> '';

-- What a run of a module depended on, compressed.
CREATE TABLE recordings (
  run        bigint  NOT NULL,
  step       text    NOT NULL,
  assignment integer NOT NULL,
  body       bytea   NOT NULL,
  PRIMARY KEY (run, step)
);
CREATE INDEX recordings_by_assignment ON recordings (assignment, run);
