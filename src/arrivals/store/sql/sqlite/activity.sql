-- The request log: telemetry in a file of its own, which may be lost and is never waited for.

-- name: schema
CREATE TABLE IF NOT EXISTS requests (
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
CREATE INDEX IF NOT EXISTS requests_by_account ON requests (account_id, id);
CREATE TABLE IF NOT EXISTS hours (
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

-- name: insert_requests
INSERT INTO requests (account_id, at, method, endpoint, status, latency_us, ip, route_id)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
FROM json_each(?)

-- name: add_hours
INSERT INTO hours (account_id, hour, method, endpoint, requests, errors, timed, latency_us)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
FROM json_each(?) WHERE true
ON CONFLICT (account_id, hour, method, endpoint) DO UPDATE
SET requests = hours.requests + excluded.requests, errors = hours.errors + excluded.errors,
    timed = hours.timed + excluded.timed, latency_us = hours.latency_us + excluded.latency_us

-- name: forget_requests
DELETE FROM requests WHERE id <= (SELECT max(id) FROM requests) - ?

-- name: forget_hours
DELETE FROM hours WHERE hour < ?

-- name: totals
SELECT coalesce(sum(requests), 0), coalesce(sum(errors), 0), coalesce(sum(timed), 0),
       coalesce(sum(latency_us), 0),
       coalesce(sum(requests) FILTER (WHERE hour >= ?), 0),
       coalesce(sum(errors) FILTER (WHERE hour >= ?), 0)
FROM hours WHERE account_id = ?

-- name: days
SELECT hour / 24, sum(requests), sum(errors), sum(timed), sum(latency_us)
FROM hours WHERE account_id = ? AND hour >= ? GROUP BY hour / 24 ORDER BY hour / 24

-- name: endpoints
SELECT endpoint, method, sum(requests), sum(errors), sum(timed), sum(latency_us)
FROM hours WHERE account_id = ? GROUP BY endpoint, method
ORDER BY sum(requests) DESC, endpoint, method LIMIT ?

-- name: log
SELECT id, at, method, endpoint, status, latency_us, ip, route_id
FROM requests
WHERE account_id = ? {filters}
ORDER BY id DESC LIMIT ? OFFSET ?

-- name: log_count
SELECT count(*) FROM requests WHERE account_id = ? {filters}

-- name: only endpoint
AND endpoint = ?

-- name: only method
AND method = ?

-- name: only status
AND status = ?

-- name: only route_id
AND route_id = ?
