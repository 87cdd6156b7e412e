-- Steps of flow. place is a path now, since steps can be within steps, and
-- several steps of a firing can run at once. A delivery is made when its step
-- begins: what waits for an earlier step is not there yet.
--
-- watch is the scope whose changes a step waits for; woken says that there was
-- one while the delivery was claimed.
DROP INDEX deliveries_run_one_at_a_time;
DELETE FROM deliveries WHERE status = 'waiting' AND due IS NULL;
ALTER TABLE deliveries
  DROP CONSTRAINT deliveries_place_check,
  ALTER COLUMN place TYPE text USING place::text,
  DROP COLUMN goes_on,
  ADD COLUMN kind text NOT NULL DEFAULT '',
  ADD COLUMN watch text,
  ADD COLUMN woken boolean NOT NULL DEFAULT false;
UPDATE deliveries SET kind = step ->> 'action';
ALTER TABLE deliveries
  ALTER COLUMN kind DROP DEFAULT,
  ADD CHECK (place <> ''),
  ADD CHECK ((due IS NOT NULL) = (status IN ('waiting', 'running')));
CREATE INDEX deliveries_watching ON deliveries (watch) WHERE watch IS NOT NULL AND status IN ('waiting', 'running');
CREATE INDEX deliveries_by_firing ON deliveries (firing, id);
