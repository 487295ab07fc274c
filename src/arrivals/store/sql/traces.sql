Statements that read whole journeys: messages, orders and streams, for whoever owns them.
Every statement that serves a customer has the account in its WHERE; where that is marked {own …}
or {owned …}, an operator's may ask for everybody. Rows come back as one JSON array, so that a page is a
single step of the database.

-- name: encoding
-- The alphabet by which the text was counted; the order's decision names it where it isn't GSM-7.
CASE WHEN m.encoding = 'gsm7' AND o.decision LIKE '%"alphabet":%'
     THEN {json o.decision} -> 'route' ->> 'alphabet' ELSE m.encoding END

-- name: whole
{row}({row}({message_columns}),
                  m.country, {encoding}, coalesce(m.text, o.text), m.client_ref, o.client_ref,
                  o.sender, o.category, o.accepted_at, o.send_at, o.currency, o.request_id,
                  o.batch_id, r.prefix, r.price, r.version,
                  {json (SELECT {[}a.n, a.kind, a.amount, p.at{]}
                         FROM adjustments AS a JOIN postings AS p ON p.id = a.posting_id
                         WHERE a.message_id = m.id)},
                  {json o.decision} -> 'route' -> 'selection')

-- name: message
SELECT {whole}
FROM messages AS m
{order of m}
LEFT JOIN rates AS r ON r.id = m.rate_id
WHERE m.id = ? AND m.account_id = ?

-- name: messages
-- For the model, whoever's they are.
SELECT {list[}{whole}{]list}
FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k JOIN messages AS m ON m.id = k.id
{order of m}
LEFT JOIN rates AS r ON r.id = m.rate_id

-- name: events_of_messages
SELECT {[}message_id, {row}(seq, at, kind, from_state, to_state, actor, {json body}){]}
FROM (SELECT e.* FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
      JOIN events AS e ON e.message_id = k.id AND e.seq <= ?
      ORDER BY e.message_id, e.seq) AS e

-- name: ending
-- Of which nobody spoke until their deadlines, each with the verdict on record.
SELECT {[}m.id, m.verdict{]}
FROM (SELECT id, verdict, state FROM messages WHERE wake_at <= ? ORDER BY wake_at LIMIT ?) AS m
{order of m}
WHERE m.state IN ('submitted', 'ambiguous') AND o.outcome_deadline <= ?

-- name: events
SELECT {[}seq, at, kind, from_state, to_state, actor, {json body}{]}
FROM (SELECT e.* FROM events AS e JOIN messages AS m ON m.id = e.message_id
      WHERE e.message_id = ? AND m.account_id = ? ORDER BY e.seq LIMIT ?) AS e

-- name: messages_page
SELECT {[}{row}({message_columns}), m.country, coalesce(m.client_ref, o.client_ref), o.sender,
          o.accepted_at, o.currency{]}
FROM (SELECT m.* FROM {source} AS m {filters} ORDER BY m.id DESC LIMIT ?) AS m
{order of m}

-- name: scanned
SELECT {row}(min(id), count(*))
FROM (SELECT id FROM messages WHERE {own account_id = ?} AND id < ? AND id >= ?
      ORDER BY id DESC LIMIT ?) AS m

-- name: lookalikes
SELECT {[}m.id, m.state, m.route_id, m.provider_id, m.msisdn, m.country, o.sender, m.segments,
          {encoding}, o.category, m.attempts, o.accepted_at, coalesce(m.text, o.text){]}
FROM messages AS m
{order of m}
WHERE m.account_id = ? AND m.id < ? AND m.id >= ? AND m.country = ? AND o.sender = ? AND o.accepted_at >= ? AND o.accepted_at < ?

-- name: everybody
-- Stands for {own account_id = ?} where an operator asks for all.
CAST({value} AS BIGINT) IS NULL

-- name: every account
-- Stands for {owned account_id = ?}, for an index that begins with the account.
{column} IN (SELECT CAST(id AS BIGINT) FROM catalogue
             WHERE kind = 'account' AND CAST({value} AS BIGINT) IS NULL)

-- name: owner_of_order
-- For operators.
SELECT account_id FROM orders WHERE id = ?

-- name: owner_of_batch
-- For operators.
SELECT account_id FROM batches WHERE id = ?

-- name: order
SELECT {row}({order_columns}) FROM orders AS o WHERE o.id = ? AND o.account_id = ?

-- name: orders_page
SELECT {[}{order_columns}{]}
FROM (SELECT o.* FROM orders AS o WHERE o.account_id = ? AND o.id < ? AND o.id >= ? {filters}
      ORDER BY o.id DESC LIMIT ?) AS o

-- name: order_near
-- Halves the ids between an account's eldest order and its newest, in one round trip: what stands
-- below `low` begins before the time, what stands from `high` on doesn't. No join, because a
-- planner may think it cheaper to read all orders once.
WITH RECURSIVE search (low, high) AS (
  SELECT (SELECT min(o.id) FROM orders AS o WHERE {own o.account_id = :account}),
         (SELECT max(o.id) FROM orders AS o WHERE {own o.account_id = :account}) + 1
  UNION ALL
  SELECT CASE WHEN {middle} < :at THEN (low + high) / 2 + 1 ELSE low END,
         CASE WHEN {middle} < :at THEN high ELSE (low + high) / 2 END
  FROM search WHERE low < high)
SELECT max(low) FROM search

-- name: middle
(SELECT o.accepted_at FROM orders AS o
 WHERE {own o.account_id = :account} AND o.id >= (low + high) / 2 ORDER BY o.id LIMIT 1)

-- name: first_accepted_from
SELECT id FROM orders WHERE {own account_id = ?} AND id >= ? AND accepted_at >= ? ORDER BY id LIMIT 1

-- name: last_accepted_before
SELECT id FROM orders WHERE {own account_id = ?} AND id < ? AND accepted_at < ?
ORDER BY id DESC LIMIT 1

-- name: rolled_up
-- The unary plus keeps the range scan of the primary key: the account's index would look
-- every message up once more.
SELECT {[}order_id, state, reach, tried, confirmed, count{]}
FROM (SELECT m.id >> 17 AS order_id, m.state, m.reach,
             CASE WHEN m.attempts > 0 THEN 1 ELSE 0 END AS tried, m.confirmed, count(*) AS count
      FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
      {messages of k}
      WHERE +m.account_id = ?
      GROUP BY 1, 2, 3, 4, 5) AS c

-- name: batch_by_id
SELECT {row}(id, account_id, key, options, created_at, finished_at, lines, accepted, refused,
                  cost, prefix_hash, refusals)
FROM batches WHERE id = ? AND account_id = ?

-- name: batch_orders
SELECT {list[}id{]list} FROM
  (SELECT id FROM orders WHERE batch_id = ? AND account_id = ? ORDER BY id LIMIT ?) AS o

-- name: batches_page
SELECT {[}id, account_id, key, options, created_at, finished_at, lines, accepted, refused, cost,
          prefix_hash, '[]'{]}
FROM (SELECT * FROM batches WHERE account_id = ? AND id < ? ORDER BY id DESC LIMIT ?) AS b

-- name: lane_heads
-- For operators. The first in a lane has waited longest but for fairness among accounts; its
-- newest event is what put it there. What is paused waits because somebody wants it to.
SELECT {[}provider, lane, since, waiting{]} FROM (
  SELECT k.value->>0 AS provider, CAST(k.value->>1 AS BIGINT) AS lane,
         (SELECT m.changed_at
          FROM messages AS m
          WHERE m.provider_id = k.value->>0 AND m.lane = CAST(k.value->>1 AS BIGINT)
            AND m.rank IS NOT NULL
            AND m.account_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values accounts})
            AND m.route_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values routes})
          ORDER BY m.rank LIMIT 1) AS since,
         (SELECT count(*)
          FROM (SELECT 1
                FROM messages AS m
                WHERE m.provider_id = k.value->>0 AND m.lane = CAST(k.value->>1 AS BIGINT)
                  AND m.rank IS NOT NULL
                  AND m.account_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values accounts})
                  AND m.route_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values routes})
                LIMIT :counted) AS c) AS waiting
  FROM {arrays lanes} AS k) AS heads
WHERE since IS NOT NULL

-- name: ready_count
SELECT count(*) FROM (SELECT 1 FROM messages WHERE rank IS NOT NULL LIMIT ?) AS m

-- name: open_by_state
SELECT {[}state, count{]} FROM (
  SELECT state, count(*) AS count
  FROM (SELECT state FROM messages WHERE wake_at IS NOT NULL AND state <> 'sending' LIMIT ?) AS m
  GROUP BY state) AS c

-- name: sending_count
SELECT count(*) FROM (SELECT 1 FROM messages
                      WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending'
                      LIMIT ?) AS found

-- name: overdue_count
SELECT count(*) FROM (
  SELECT 1 FROM messages AS m JOIN orders AS o ON o.id = m.id >> 17
  WHERE m.wake_at < ? AND o.outcome_deadline < ? LIMIT ?) AS m

-- name: parked_count
SELECT count(*) FROM (SELECT 1 FROM parked_receipts LIMIT ?) AS p

-- name: parked_oldest
SELECT min(received_at) FROM parked_receipts

-- name: parked_of
-- One step of the index for each provider, whatever number of receipts each has.
WITH RECURSIVE p(name) AS (
  SELECT min(provider_id) FROM parked_receipts
  UNION ALL
  SELECT (SELECT min(r.provider_id) FROM parked_receipts AS r WHERE r.provider_id > p.name)
  FROM p WHERE p.name IS NOT NULL)
SELECT {list[}name{]list} FROM (SELECT name FROM p WHERE name IS NOT NULL LIMIT ?) AS named

-- name: field states
m.state IN (SELECT value FROM {values})

-- name: field verdict
CASE WHEN m.state NOT IN ('submitted', 'ambiguous', 'unknown') THEN m.state
     WHEN m.confirmed = 'confirmed' THEN 'delivered'
     ELSE coalesce(m.verdict, m.state) END = ?

-- name: field bounds
{own m.account_id = ?} AND m.id < ? AND m.id >= ?

-- name: field route_id
m.route_id = ?

-- name: field country
m.country = ?

-- name: field msisdn
m.msisdn = ?

-- name: field from_us
(SELECT o.accepted_at FROM orders AS o WHERE o.id = m.id >> 17) >= ?

-- name: field to_us
(SELECT o.accepted_at FROM orders AS o WHERE o.id = m.id >> 17) < ?

-- name: order from_us
AND o.accepted_at >= ?

-- name: order to_us
AND o.accepted_at < ?

-- name: order route_id
AND o.route_id = ?

-- name: order client_ref
AND o.client_ref = ?

-- name: order batch_id
AND o.batch_id = ?

-- name: alarms_standing
-- For operators.
SELECT {[}id, began_at, raised_at, seen_at, ended_at, {json trouble}{]}
FROM (SELECT * FROM alarms WHERE ended_at IS NULL ORDER BY id LIMIT ?) AS a

-- name: alarms_page
-- For operators. Those that stand come first, then the ended ones; of each the newest.
SELECT {[}id, began_at, raised_at, seen_at, ended_at, {json trouble}{]}
FROM (SELECT * FROM alarms
      WHERE (ended_at IS NULL AND id < ?) OR (ended_at IS NOT NULL AND id < ?)
      ORDER BY CASE WHEN ended_at IS NULL THEN 0 ELSE 1 END, id DESC LIMIT ?) AS a
