-- Processes that share the database, and what each of them may do.

-- One row for each process. It lives as long as it moves expires in time, by
-- the clock of this server. since is from when it has done so without a pause:
-- who was cut off itself must not take others for dead at once. One that is
-- leaving takes nothing more.
CREATE TABLE nodes (
  id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name    text        NOT NULL,
  started timestamptz NOT NULL,
  since   timestamptz NOT NULL,
  expires timestamptz NOT NULL,
  leaving boolean     NOT NULL DEFAULT false,
  report  json        NOT NULL DEFAULT '{}'
) WITH (fillfactor = 50);

-- Shares 0 to 255 are the shards of the systems, 256 is the rules. epoch counts
-- how often it was given to somebody: what was known of a share in an earlier
-- epoch is old. Who changes the owner holds the row of ledger, unless it is the
-- owner that lets go.
CREATE TABLE leases (
  share integer PRIMARY KEY CHECK (share BETWEEN 0 AND 256),
  owner bigint  REFERENCES nodes (id),
  epoch bigint  NOT NULL CHECK (epoch >= 0)
) WITH (fillfactor = 50);
CREATE INDEX leases_by_owner ON leases (owner);
INSERT INTO leases SELECT n, NULL, 0 FROM generate_series(0, 256) AS n;

CREATE FUNCTION leases_count_owners() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.epoch < OLD.epoch OR NEW.owner IS DISTINCT FROM OLD.owner AND NEW.owner IS NOT NULL AND NEW.epoch <= OLD.epoch THEN
    RAISE EXCEPTION 'each owner of a share has an epoch of its own';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER leases_count_owners BEFORE UPDATE ON leases FOR EACH ROW EXECUTE FUNCTION leases_count_owners();

-- turn is now a version: every process keeps a copy of what the others decide,
-- and reads what is of a later turn than its copy. edited is the turn of the
-- newest edit of the catalog, layout that of the newest partition or name of a
-- sample. Who may write is in leases.
CREATE OR REPLACE FUNCTION ledger_never_goes_back() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.turn < OLD.turn OR NEW.run < OLD.run OR NEW.seq < OLD.seq OR NEW.floor < OLD.floor
    OR NEW.edited < OLD.edited OR NEW.layout < OLD.layout THEN
    RAISE EXCEPTION 'the ledger never goes back';
  END IF;
  RETURN NEW;
END $$;
ALTER TABLE ledger DROP COLUMN epoch;
ALTER TABLE ledger ADD COLUMN edited bigint NOT NULL DEFAULT 0 CHECK (edited <= turn);
ALTER TABLE ledger ADD COLUMN layout bigint NOT NULL DEFAULT 0 CHECK (layout <= turn);
ALTER TABLE systems ADD COLUMN turn bigint NOT NULL DEFAULT 0;
ALTER TABLE assignments ADD COLUMN turn bigint NOT NULL DEFAULT 0;
ALTER TABLE rollups ADD COLUMN turn bigint NOT NULL DEFAULT 0;
CREATE INDEX systems_by_turn ON systems (turn);
CREATE INDEX assignments_by_turn ON assignments (turn);
CREATE INDEX rollups_by_turn ON rollups (turn);

-- What every process keeps a copy of besides, and must read anew when another
-- one changes it: modules, their releases, secrets.
INSERT INTO counters (name, value) VALUES ('shelf', 0);
CREATE FUNCTION shelf_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE counters SET value = value + 1 WHERE name = 'shelf';
  PERFORM pg_notify('tocsin', 'shelf');
  RETURN NULL;
END $$;
CREATE TRIGGER modules_moved AFTER INSERT OR UPDATE OR DELETE ON modules FOR EACH STATEMENT EXECUTE FUNCTION shelf_moved();
CREATE TRIGGER releases_moved AFTER INSERT OR UPDATE OR DELETE ON releases FOR EACH STATEMENT EXECUTE FUNCTION shelf_moved();
CREATE TRIGGER secrets_moved AFTER INSERT OR UPDATE OR DELETE ON secrets FOR EACH STATEMENT EXECUTE FUNCTION shelf_moved();

-- Runs that people asked for at a process that does not hold the assignment.
-- taken is who carries it out, outcome what came of it.
CREATE TABLE asks (
  id         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  assignment text        NOT NULL,
  asked      timestamptz NOT NULL DEFAULT clock_timestamp(),
  taken      bigint,
  outcome    text CHECK (outcome IS NULL OR taken IS NOT NULL)
);
