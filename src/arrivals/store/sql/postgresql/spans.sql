Statements that keep the tables in spans. {span} is a number, {table} a table's name.

-- name: next_order_id
SELECT last_value + CAST(is_called AS INT) FROM order_ids

-- name: span
SELECT n, begun_at FROM spans WHERE n = ?

-- name: add_span
SELECT add_span(?)

-- name: date_spans
UPDATE spans SET begun_at = ? WHERE n <= ? AND begun_at IS NULL

-- name: any_order
SELECT 1 FROM orders_{span} LIMIT 1

-- name: raise_order_ids
SELECT raise_order_ids(?)

-- name: old_handoffs
SELECT n FROM (
  SELECT s.*, lead(begun_at) OVER (ORDER BY n) AS ended_at,
         count(begun_at) OVER (ORDER BY n ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS later
  FROM spans AS s) AS s
WHERE handoffs_detached_at IS NULL AND detached_at IS NULL AND later >= ? AND ended_at <= ?
ORDER BY n

-- name: old_spans
SELECT n, handoffs_detached_at IS NOT NULL
FROM (SELECT s.*, lead(begun_at) OVER (ORDER BY n) AS ended_at FROM spans AS s) AS s
WHERE detached_at IS NULL AND ended_at <= ?
ORDER BY n

-- name: any_open
-- Each of these has an index; an open message is in one of them by a rule of the table.
SELECT 1 WHERE EXISTS (SELECT FROM messages_{span} WHERE rank IS NOT NULL)
  OR EXISTS (SELECT FROM messages_{span} WHERE wake_at IS NOT NULL)
  OR EXISTS (SELECT FROM messages_{span} WHERE state IN ('sending', 'ambiguous', 'waiting'))

-- name: detach
ALTER TABLE {table} DETACH PARTITION {table}_{span}

-- name: note_detached_handoffs
UPDATE spans SET handoffs_detached_at = coalesce(handoffs_detached_at, ?) WHERE n = ?

-- name: note_detached
UPDATE spans SET detached_at = ?, last_posting = (SELECT max(id) FROM postings) WHERE n = ?

-- name: raw_day
SELECT to_regclass('raw_receipts_' || CAST(? AS TEXT))

-- name: add_raw_day
SELECT add_raw_day(?)

-- name: raw_days
SELECT CAST(substring(c.relname FROM '\d+$') AS BIGINT) AS day
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
WHERE i.inhparent = CAST('raw_receipts' AS regclass) AND c.relname ~ '_\d+$'
ORDER BY 1

-- name: drop_raw_day
DROP TABLE raw_receipts_{span}
