-- What `arrivals verify` looked at last, and what it found.

-- Of the newest run; there is one row at most.
CREATE TABLE verified (
  id         INTEGER PRIMARY KEY CHECK (id = 1),
  run        INTEGER NOT NULL,  -- counts up: of two that went on from one state, one is kept
  kind       TEXT NOT NULL CHECK (kind IN ('full', 'incremental')),
  began_at   BIGINT NOT NULL,
  ended_at   BIGINT NOT NULL,
  full_at    BIGINT NOT NULL,   -- when the newest full run ended
  checks     INTEGER NOT NULL,
  looked_at  INTEGER NOT NULL,  -- messages
  violations INTEGER NOT NULL,
  found      TEXT NOT NULL,     -- {invariant: violations}
  progress   TEXT NOT NULL      -- what the next run goes on from; see store/verified.py
);

-- What happened since a moment.
CREATE INDEX events_by_time ON events (at);
