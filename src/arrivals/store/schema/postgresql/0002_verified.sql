-- works with: 1
-- What `arrivals verify` looked at last, and what it found.

-- Of the newest run; there is one row at most.
CREATE TABLE verified (
  id         BIGINT PRIMARY KEY CHECK (id = 1),
  run        BIGINT NOT NULL,   -- counts up: of two that went on from one state, one is kept
  kind       TEXT NOT NULL CHECK (kind IN ('full', 'incremental')),
  began_at   BIGINT NOT NULL,
  ended_at   BIGINT NOT NULL,
  full_at    BIGINT NOT NULL,   -- when the newest full run ended
  checks     BIGINT NOT NULL,
  looked_at  BIGINT NOT NULL,   -- messages
  violations BIGINT NOT NULL,
  found      TEXT NOT NULL,     -- {invariant: violations}
  progress   TEXT NOT NULL      -- what the next run goes on from; see store/verified.py
);
