The request log, as it is read: telemetry in tables of its own, which may be lost and are never
waited for.

-- name: totals
SELECT CAST(coalesce(sum(requests), 0) AS BIGINT), CAST(coalesce(sum(errors), 0) AS BIGINT),
       CAST(coalesce(sum(timed), 0) AS BIGINT), CAST(coalesce(sum(latency_us), 0) AS BIGINT),
       CAST(coalesce(sum(requests) FILTER (WHERE hour >= ?), 0) AS BIGINT),
       CAST(coalesce(sum(errors) FILTER (WHERE hour >= ?), 0) AS BIGINT)
FROM request_hours WHERE account_id = ?

-- name: days
SELECT hour / 24, CAST(sum(requests) AS BIGINT), CAST(sum(errors) AS BIGINT),
       CAST(sum(timed) AS BIGINT), CAST(sum(latency_us) AS BIGINT)
FROM request_hours WHERE account_id = ? AND hour >= ? GROUP BY hour / 24 ORDER BY hour / 24

-- name: endpoints
SELECT endpoint, method, CAST(sum(requests) AS BIGINT), CAST(sum(errors) AS BIGINT),
       CAST(sum(timed) AS BIGINT), CAST(sum(latency_us) AS BIGINT)
FROM request_hours WHERE account_id = ? GROUP BY endpoint, method
ORDER BY sum(requests) DESC, endpoint, method LIMIT ?

-- name: log
SELECT id, at, method, endpoint, status, latency_us, ip, route_id
FROM request_lines
WHERE account_id = ? {filters}
ORDER BY id DESC LIMIT ? OFFSET ?

-- name: log_count
SELECT count(*) FROM request_lines WHERE account_id = ? {filters}

-- name: only endpoint
AND endpoint = ?

-- name: only method
AND method = ?

-- name: only status
AND status = ?

-- name: only route_id
AND route_id = ?
