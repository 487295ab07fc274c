The request log in a database that several processes share.
Differs because values out of JSON need their types said, and because several processes forget the
same lines at once: each leaves what another is about to delete.

-- name: insert_lines
INSERT INTO request_lines (account_id, at, method, endpoint, status, latency_us, ip, route_id)
SELECT (value->>0)::bigint, (value->>1)::bigint, value->>2, value->>3, (value->>4)::bigint,
       (value->>5)::bigint, value->>6, value->>7
FROM {arrays}

-- name: add_hours
INSERT INTO request_hours (account_id, hour, method, endpoint, requests, errors, timed, latency_us)
SELECT (value->>0)::bigint, (value->>1)::bigint, value->>2, value->>3, (value->>4)::bigint,
       (value->>5)::bigint, (value->>6)::bigint, (value->>7)::bigint
FROM {arrays}
ON CONFLICT (account_id, hour, method, endpoint) DO UPDATE
SET requests = request_hours.requests + excluded.requests,
    errors = request_hours.errors + excluded.errors,
    timed = request_hours.timed + excluded.timed,
    latency_us = request_hours.latency_us + excluded.latency_us

-- name: forget_lines
WITH old AS (SELECT id FROM request_lines
             WHERE id <= (SELECT max(id) FROM request_lines) - ? ORDER BY id LIMIT ?
             FOR UPDATE SKIP LOCKED)
DELETE FROM request_lines AS l USING old WHERE l.id = old.id

-- name: forget_hours
WITH old AS (SELECT account_id, hour, method, endpoint FROM request_hours
             WHERE hour < ? ORDER BY hour LIMIT ? FOR UPDATE SKIP LOCKED)
DELETE FROM request_hours AS h USING old
WHERE (h.account_id, h.hour, h.method, h.endpoint)
    = (old.account_id, old.hour, old.method, old.endpoint)
