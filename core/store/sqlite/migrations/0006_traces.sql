-- What the module said and used in the newest attempt of a delivery, see
-- core.StepTrace.
ALTER TABLE deliveries ADD COLUMN trace TEXT CHECK (trace IS NULL OR json_valid(trace));
