The request log in a file of its own.
Differs because the file makes its own schema, and because one process at a time writes to it.

-- name: schema
CREATE TABLE IF NOT EXISTS request_lines (
  id         INTEGER PRIMARY KEY,
  account_id INTEGER NOT NULL,
  at         BIGINT NOT NULL,
  method     TEXT NOT NULL,
  endpoint   TEXT NOT NULL,
  status     INTEGER NOT NULL,
  latency_us INTEGER,
  ip         TEXT,
  route_id   TEXT
);
CREATE INDEX IF NOT EXISTS request_lines_by_account ON request_lines (account_id, id);
CREATE TABLE IF NOT EXISTS request_hours (
  account_id INTEGER NOT NULL,
  hour       INTEGER NOT NULL,  -- hours since 1970, UTC
  method     TEXT NOT NULL,
  endpoint   TEXT NOT NULL,
  requests   INTEGER NOT NULL,
  errors     INTEGER NOT NULL,
  timed      INTEGER NOT NULL,  -- those with a latency
  latency_us BIGINT NOT NULL,   -- their sum
  PRIMARY KEY (account_id, hour, method, endpoint)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS request_hours_by_age ON request_hours (hour);

-- name: insert_lines
INSERT INTO request_lines (account_id, at, method, endpoint, status, latency_us, ip, route_id)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
FROM json_each(?)

-- name: add_hours
INSERT INTO request_hours (account_id, hour, method, endpoint, requests, errors, timed, latency_us)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
FROM json_each(?) WHERE true
ON CONFLICT (account_id, hour, method, endpoint) DO UPDATE
SET requests = request_hours.requests + excluded.requests,
    errors = request_hours.errors + excluded.errors,
    timed = request_hours.timed + excluded.timed,
    latency_us = request_hours.latency_us + excluded.latency_us

-- name: forget_lines
DELETE FROM request_lines
WHERE id IN (SELECT id FROM request_lines
             WHERE id <= (SELECT max(id) FROM request_lines) - ? ORDER BY id LIMIT ?)

-- name: forget_hours
DELETE FROM request_hours
WHERE (account_id, hour, method, endpoint) IN (
  SELECT account_id, hour, method, endpoint FROM request_hours WHERE hour < ? ORDER BY hour LIMIT ?)
