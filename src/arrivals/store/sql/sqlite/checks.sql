What the checks ask SQLite alone. Differs because a value there may have another type than its
column, there is one writer, and the schema and JSON are looked into in words of its own.

-- name: last_posting
SELECT coalesce(max(id), 0) FROM postings

-- name: last_given_away
SELECT 0

-- name: batch_totals
SELECT b.id FROM batches AS b LEFT JOIN orders AS o ON o.batch_id = b.id
WHERE b.id > :low AND b.id <= :high
GROUP BY b.id
HAVING coalesce(sum(o.count), 0) <> b.accepted OR coalesce(sum(o.cost), 0) <> b.cost
    OR b.lines <> b.accepted + b.refused

-- name: known_triggers
SELECT name FROM sqlite_schema WHERE type = 'trigger'

-- name: posting_integers
SELECT id FROM postings
WHERE id > :low AND id <= :high AND (typeof(amount) <> 'integer' OR amount < 0)

-- name: balance_integers
SELECT account_id AS id FROM balances
WHERE typeof(available) <> 'integer' OR typeof(held) <> 'integer'
   OR typeof(credit_limit) <> 'integer'

-- name: message_integers
SELECT id FROM messages WHERE id > :low AND id <= :high
  AND (typeof(price) <> 'integer' OR price < 0 OR typeof(provider_cost) <> 'integer')

-- name: overdrawn
SELECT account_id AS id FROM balances
GROUP BY account_id
HAVING sum(available) + sum(credit_limit) < 0 OR min(held) < 0

-- name: foreign_handoffs
SELECT DISTINCT h.message_id AS id FROM handoffs AS h
LEFT JOIN messages AS m ON m.id = h.message_id
LEFT JOIN orders AS o ON o.id = h.message_id >> 17
WHERE (h.provider_id, h.external_id) >= (:low_provider, :low_id)
  AND (CAST(:high_provider AS TEXT) IS NULL
       OR (h.provider_id, h.external_id) < (:high_provider, :high_id))
  AND (m.id IS NULL OR h.attempt > m.attempts OR h.attempt < 1
       OR h.provider_id NOT IN (SELECT value FROM json_each(o.providers)))
