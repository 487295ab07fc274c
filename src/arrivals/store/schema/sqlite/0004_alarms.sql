-- Alarms of the model of outcomes, each with its beginning, its evidence and its end.
CREATE TABLE alarms (
  id        INTEGER PRIMARY KEY,
  kind      TEXT NOT NULL,
  cell      TEXT NOT NULL,     -- the names of the group of messages, a JSON array
  began_at  BIGINT NOT NULL,   -- where the change probably was
  raised_at BIGINT NOT NULL,
  seen_at   BIGINT NOT NULL,   -- when it was found last
  ended_at  BIGINT,
  trouble   TEXT NOT NULL,     -- evidence and what is at risk; see outcome/episodes.py
  CHECK (ended_at IS NULL OR ended_at >= began_at)
);
-- One cause is one alarm, whoever finds it.
CREATE UNIQUE INDEX alarms_standing ON alarms (kind, cell) WHERE ended_at IS NULL;
