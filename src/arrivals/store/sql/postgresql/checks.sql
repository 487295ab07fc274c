What the checks ask PostgreSQL alone. Differs because several processes write at once: a sum has
a horizon, and a balance has slots; because a table is in partitions; and because the schema and
JSON are looked into in words of its own.

-- name: within keys
{column} = ANY(CAST(translate(:keys, '[]', '{}') AS BIGINT[]))

-- name: newest_place
-- Below it every transaction has ended; and that is where the next run goes on.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
       pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: set_back
-- Transactions are numbered as they begin, whatever the clock says.
SELECT CAST(NULL AS BIGINT)

-- name: place_after
SELECT tx + 1 FROM events WHERE tx >= :place AND tx < :until ORDER BY tx LIMIT 1 OFFSET :rows

-- name: changed
SELECT DISTINCT message_id FROM events WHERE tx >= :place AND tx < :until

-- name: take_turn
-- One process at a time checks for all; it gives the turn back with its session.
SELECT pg_try_advisory_lock(CAST(5 AS BIGINT) << 60)

-- name: last_posting
SELECT coalesce(max(id), 0) FROM postings

-- name: last_given_away
-- Rows of spans that were detached may have named postings up to this one.
SELECT coalesce(max(last_posting), 0) FROM spans WHERE detached_at IS NOT NULL

-- name: batch_totals
-- Orders of a stream that is older than the end of the last detached span may be gone.
SELECT b.id FROM batches AS b LEFT JOIN orders AS o ON o.batch_id = b.id
WHERE {within b.id}
GROUP BY b.id
HAVING b.lines <> b.accepted + b.refused
    OR CASE WHEN b.created_at < (
              SELECT coalesce(max(s.ended_at), 0)
              FROM (SELECT detached_at, lead(begun_at) OVER (ORDER BY n) AS ended_at FROM spans) AS s
              WHERE s.detached_at IS NOT NULL)
            THEN coalesce(sum(o.count), 0) > b.accepted OR coalesce(sum(o.cost), 0) > b.cost
            ELSE coalesce(sum(o.count), 0) <> b.accepted OR coalesce(sum(o.cost), 0) <> b.cost END

-- name: next_transaction
SELECT pg_current_xact_id()::text::bigint

-- name: eldest_transaction
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint

-- name: is_standby
SELECT pg_is_in_recovery()

-- name: known_triggers
-- One that a partition lacks, or that is turned off anywhere, refuses nothing there.
SELECT t.tgname
FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'postings'::regclass)
  AND NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A')
  AND NOT EXISTS (
    SELECT FROM pg_inherits AS part
    WHERE part.inhparent = t.tgrelid
      AND NOT EXISTS (SELECT FROM pg_trigger AS own
                      WHERE own.tgrelid = part.inhrelid AND own.tgparentid = t.oid
                        AND own.tgenabled IN ('O', 'A')))

-- name: posting_integers
SELECT id FROM postings
WHERE {within id} AND (pg_typeof(amount) <> 'bigint'::regtype OR amount < 0)

-- name: balance_integers
SELECT DISTINCT account_id AS id FROM balances
WHERE pg_typeof(available) <> 'bigint'::regtype OR pg_typeof(held) <> 'bigint'::regtype
   OR pg_typeof(credit_limit) <> 'bigint'::regtype

-- name: message_integers
SELECT id FROM messages WHERE {within id}
  AND (pg_typeof(price) <> 'bigint'::regtype OR price < 0
       OR pg_typeof(provider_cost) <> 'bigint'::regtype)

-- name: overdrawn
-- What one process held another may release, so a single slot may hold less than nothing; but
-- none may spend more than its share.
SELECT account_id AS id FROM balances
GROUP BY account_id
HAVING sum(held) < 0 OR min(available + credit_limit) < 0

-- name: foreign_handoffs
SELECT DISTINCT h.message_id AS id FROM handoffs AS h
LEFT JOIN messages AS m ON m.id = h.message_id
LEFT JOIN orders AS o ON o.id = h.message_id >> 17
WHERE {within handoffs}
  AND (m.id IS NULL OR h.attempt > m.attempts OR h.attempt < 1
       OR h.provider_id NOT IN
          (SELECT value FROM jsonb_array_elements_text(CAST(o.providers AS jsonb))))

-- name: missing_handoffs
-- A span gives its hand-offs away before the rest.
SELECT CAST(pair.value->>2 AS BIGINT) AS id FROM {arrays pairs} AS pair
WHERE NOT EXISTS (SELECT 1 FROM handoffs AS h
                  WHERE h.provider_id = pair.value->>0 AND h.external_id = pair.value->>1
                    AND h.message_id = CAST(pair.value->>2 AS BIGINT))
  AND NOT EXISTS (SELECT 1 FROM spans AS s
                  WHERE s.n = CAST(pair.value->>2 AS BIGINT) >> 41
                    AND (s.handoffs_detached_at IS NOT NULL OR s.detached_at IS NOT NULL))
