-- What rules know, decided and do.

-- Opaque to the store; only package rules can read the bodies.
CREATE TABLE gate_states (
  key  text PRIMARY KEY,
  body bytea NOT NULL
);

-- scope is the id of the system that the subject is or belongs to, or "@" and
-- the id of a group. kept is true for fires and recoveries, which no bound on
-- the number of a rule's decisions removes.
CREATE TABLE decisions (
  id      bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  rule    text    NOT NULL,
  scope   text    NOT NULL,
  verdict text    NOT NULL,
  kept    boolean NOT NULL,
  decided bigint  NOT NULL,
  body    json    NOT NULL
);
CREATE INDEX decisions_by_rule ON decisions (rule, id);
CREATE INDEX decisions_to_trim ON decisions (rule, id) WHERE NOT kept;
CREATE INDEX decisions_by_scope ON decisions (scope, id);

CREATE TABLE firings (
  number  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id      text   NOT NULL UNIQUE,
  rule    text   NOT NULL,
  created bigint NOT NULL,
  status  text   NOT NULL CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
  updated bigint NOT NULL,
  body    json   NOT NULL
);
CREATE INDEX firings_by_rule ON firings (rule, number);
CREATE INDEX firings_active ON firings (rule, number) WHERE status IN ('queued', 'running');

-- due is when the delivery can be claimed: its next attempt, or the end of the
-- claim on it. It is absent while an earlier step of the firing is unfinished
-- and when the delivery is final, so that the index holds only what can be
-- claimed. token proves the claim.
CREATE TABLE deliveries (
  id       bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  firing   text    NOT NULL REFERENCES firings (id) ON DELETE CASCADE,
  rule     text    NOT NULL,
  place    integer NOT NULL CHECK (place >= 0),
  key      text    NOT NULL UNIQUE,
  step     json    NOT NULL,
  goes_on  boolean NOT NULL,
  status   text    NOT NULL CHECK (status IN ('waiting', 'running', 'done', 'skipped', 'dead', 'cancelled')),
  attempts integer NOT NULL DEFAULT 0,
  next     bigint  NOT NULL,
  due      bigint,
  token    text,
  error    text    NOT NULL DEFAULT '',
  output   bytea,
  trace    json,
  updated  bigint  NOT NULL,
  UNIQUE (firing, place),
  CHECK ((status = 'running') = (token IS NOT NULL)),
  CHECK (due IS NULL OR status IN ('waiting', 'running')),
  CHECK (status <> 'running' OR due IS NOT NULL)
);
CREATE INDEX deliveries_due ON deliveries (due, id) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX deliveries_run_one_at_a_time ON deliveries (firing) WHERE status = 'running';
CREATE INDEX deliveries_by_status ON deliveries (status, id);
