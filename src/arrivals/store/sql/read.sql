What the API reads. Every statement names the account, and every list has a limit.

-- name: balance
SELECT {[}account_id, currency, sum_available, sum_held, sum_limit{]}
FROM (SELECT account_id, currency, sum(available) AS sum_available, sum(held) AS sum_held,
             sum(credit_limit) AS sum_limit
      FROM balances WHERE account_id = ? GROUP BY account_id, currency) AS b

-- name: stored_answer
SELECT {[}account_id, scope, key, body_hash, status, answer, at{]}
FROM idempotency WHERE account_id = ? AND scope = ? AND key = ?

-- name: reports
SELECT {[}
  m.id, m.msisdn, m.state, m.reason, m.route_id, o.accepted_at, m.changed_at, m.client_ref,
  (SELECT e.at FROM events AS e
   WHERE m.state = 'delivered' AND e.message_id = m.id AND e.to_state = 'delivered'
     AND e.from_state <> 'delivered' ORDER BY e.seq DESC LIMIT 1),
  (SELECT e.body->'ids'->>0 FROM events AS e
   WHERE m.attempts > 0 AND e.message_id = m.id AND e.body->'ids'->>0 IS NOT NULL
   ORDER BY e.seq DESC LIMIT 1){]}
FROM (SELECT m.* FROM messages AS m {orders}
      WHERE m.account_id = ? {filters}
      ORDER BY m.id {direction} LIMIT ? OFFSET ?) AS m
{order of m}

-- name: reports_count
SELECT count(*) FROM messages AS m {orders} WHERE m.account_id = ? {filters}

-- name: join orders
{order of m}

-- name: where key
AND m.id = ?

-- name: where order_id
AND m.id BETWEEN ? AND ?

-- name: where states
AND m.state IN (SELECT value FROM {values})

-- name: where msisdn
AND m.msisdn = ?

-- name: where route_id
AND m.route_id = ?

-- name: where from_us
AND o.accepted_at >= ?

-- name: where before_us
AND o.accepted_at < ?

-- name: order
SELECT 1 FROM orders WHERE account_id = ? AND id = ?

-- name: ready_providers
-- For the processes of an installation.
SELECT {list[}provider{]list} FROM (
  SELECT DISTINCT k.value->>0 AS provider
  FROM {arrays lanes} AS k
  WHERE EXISTS (SELECT 1 FROM messages AS m
                WHERE m.provider_id = k.value->>0 AND m.lane = CAST(k.value->>1 AS BIGINT)
                  AND m.rank IS NOT NULL
                  AND m.account_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values accounts})
                  AND m.route_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values routes}))) AS p

-- name: newest_events
SELECT {[}m.id, m.seq{]}
FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k JOIN messages AS m ON m.id = k.id

-- name: open_messages
SELECT {list[}id{]list}
FROM (SELECT id FROM messages
      WHERE account_id = ? AND id BETWEEN ? AND ? AND resolution IS NULL ORDER BY id LIMIT ?) AS m

-- name: subjects
-- Who took a message is the newest that answered; who has feedback is told by its first yes.
SELECT {[}{row}(m.id, CAST(m.account_id AS TEXT), m.country, m.msisdn, o.sender, o.category,
  (SELECT min(t.at) FROM events AS t WHERE t.message_id = m.id AND t.kind = 'taken'),
  (SELECT min(f.seq) FROM events AS f WHERE f.message_id = m.id AND f.kind = 'feedback'
     AND CAST(f.body->>'confirmed' AS TEXT) IN ('true', '1')),
  m.price, coalesce(m.text, o.text), o.accepted_at), m.provider_id{]}
FROM (SELECT DISTINCT CAST(value AS BIGINT) AS id FROM {values}) AS k
JOIN messages AS m ON m.id = k.id
{order of m}

-- name: recent_events
SELECT {[}e.at, e.message_id, e.seq, e.at, e.kind, e.from_state, e.to_state, e.actor, {json e.body}{]}
FROM (SELECT * FROM events AS e
      WHERE e.at >= ? AND e.at <= ? AND (e.at, e.message_id, e.seq) > (?, ?, ?)
        AND e.kind IN (SELECT value FROM {values})
      ORDER BY e.at, e.message_id, e.seq LIMIT ?) AS e
