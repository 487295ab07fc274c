What the checks ask SQLite alone. Differs because a value there may have another type than its
column, there is one writer, and the schema and JSON are looked into in words of its own.

-- name: within keys
{column} IN (SELECT value FROM json_each(:keys))

-- name: newest_place
-- The place after the newest event, and where the next run goes on. What commits later has a later
-- time, but a transaction may have events that are ahead of it, and other clocks differ a little.
SELECT coalesce(max(at), 0) + 1, min(coalesce(max(at), 0) + 1, :now - 1000) FROM events

-- name: set_back
-- A process that was started after the clock was set back has written at earlier times.
SELECT min(at) FROM postings WHERE id > :posting

-- name: place_after
SELECT at + 1 FROM events WHERE at >= :place AND at < :until ORDER BY at LIMIT 1 OFFSET :rows

-- name: changed
SELECT DISTINCT message_id FROM events WHERE at >= :place AND at < :until

-- name: take_turn
SELECT 1

-- name: last_posting
SELECT coalesce(max(id), 0) FROM postings

-- name: last_given_away
SELECT 0

-- name: batch_totals
SELECT b.id FROM batches AS b LEFT JOIN orders AS o ON o.batch_id = b.id
WHERE {within b.id}
GROUP BY b.id
HAVING coalesce(sum(o.count), 0) <> b.accepted OR coalesce(sum(o.cost), 0) <> b.cost
    OR b.lines <> b.accepted + b.refused

-- name: known_triggers
SELECT name FROM sqlite_schema WHERE type = 'trigger'

-- name: posting_integers
SELECT id FROM postings
WHERE {within id} AND (typeof(amount) <> 'integer' OR amount < 0)

-- name: balance_integers
SELECT account_id AS id FROM balances
WHERE typeof(available) <> 'integer' OR typeof(held) <> 'integer'
   OR typeof(credit_limit) <> 'integer'

-- name: message_integers
SELECT id FROM messages WHERE {within id}
  AND (typeof(price) <> 'integer' OR price < 0 OR typeof(provider_cost) <> 'integer')

-- name: overdrawn
SELECT account_id AS id FROM balances
GROUP BY account_id
HAVING sum(available) + sum(credit_limit) < 0 OR min(held) < 0

-- name: foreign_handoffs
SELECT DISTINCT h.message_id AS id FROM handoffs AS h
LEFT JOIN messages AS m ON m.id = h.message_id
LEFT JOIN orders AS o ON o.id = h.message_id >> 17
WHERE {within handoffs}
  AND (m.id IS NULL OR h.attempt > m.attempts OR h.attempt < 1
       OR h.provider_id NOT IN (SELECT value FROM json_each(o.providers)))

-- name: missing_handoffs
SELECT pair.value->>2 AS id FROM {arrays pairs} AS pair
WHERE NOT EXISTS (SELECT 1 FROM handoffs AS h
                  WHERE h.provider_id = pair.value->>0 AND h.external_id = pair.value->>1
                    AND h.message_id = pair.value->>2)
