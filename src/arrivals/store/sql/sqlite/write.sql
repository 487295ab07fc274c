Statements of the writing transaction, SQLite's form. A batch goes in as one JSON array and
comes out as one, so that every statement is a single step of the database.
Differs because PostgreSQL takes arrays with unnest where SQLite takes JSON. Rows of several
columns go through jsonb_each (SQLite 3.51), which parses them once; json_each hands out each row
as text that every column parses anew, at twice the cost of the whole statement.

-- name: insert_orders
INSERT INTO orders (id, account_id, key_id, route_id, accepted_at, category, sender, text,
                    client_ref, request_id, send_at, expires_at, outcome_deadline, on_ambiguous,
                    providers, count, cost, currency, hold_posting, balance_after, decision, batch_id)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
       value->>8, value->>9, value->>10, value->>11, value->>12, value->>13,
       value->>14, value->>15, value->>16, value->>17, value->>18, value->>19, value->>20, value->>21
FROM jsonb_each(?)

-- name: insert_messages
INSERT INTO messages (id, account_id, route_id, msisdn, country, text, client_ref, encoding,
                      segments, rate_id, price, provider_id, lane, state, rank, wake_at,
                      changed_at, seq)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
       value->>8, value->>9, value->>10, value->>11, value->>12, value->>13, value->>14, value->>15,
       value->>16, 1
FROM jsonb_each(?)

-- name: insert_first_events
INSERT INTO events (message_id, seq, at, kind, from_state, to_state, actor, body)
SELECT value->>0, 1, value->>16, 'accepted', NULL, value->>13, 'api', '{}'
FROM jsonb_each(?)

-- name: next_order_id
SELECT max(coalesce((SELECT max(id) FROM orders), 0),
           coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE name = 'order_floor'), 0)) + 1

-- name: next_posting_id
SELECT coalesce(max(id), 0) + 1 FROM postings

-- name: insert_postings
INSERT INTO postings (id, at, kind, account_id, debit, credit, amount, currency, reason, reference)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7,
       value->>8, value->>9
FROM jsonb_each(?)

-- name: balances
SELECT json_group_array(json_array(account_id, currency, available, held, credit_limit))
FROM balances WHERE slot = 0 AND account_id IN (SELECT value FROM json_each(?))

-- name: update_balances
UPDATE balances SET available = balances.available + v.available, held = balances.held + v.held
FROM (SELECT value->>0 AS account_id, value->>1 AS available, value->>2 AS held
      FROM jsonb_each(?)) AS v
WHERE balances.account_id = v.account_id AND balances.slot = 0

-- name: open_balance
INSERT INTO balances (account_id, currency, credit_limit) VALUES (?, ?, ?)
ON CONFLICT (account_id, slot) DO UPDATE SET credit_limit = excluded.credit_limit

-- name: posted
SELECT id, CASE kind WHEN 'withdrawal' THEN -amount ELSE amount END
FROM postings WHERE account_id = ? AND reference = ?

-- name: next_adjustment
SELECT coalesce(max(n), 0) + 1 FROM adjustments WHERE message_id = ?

-- name: insert_adjustment
INSERT INTO adjustments (message_id, n, kind, amount, posting_id) VALUES (?, ?, ?, ?, ?)

-- name: adjustments
SELECT json_group_array(json_array(a.message_id, a.kind))
FROM json_each(?) AS k JOIN adjustments AS a ON a.message_id = k.value
WHERE a.n = (SELECT max(n) FROM adjustments WHERE message_id = a.message_id)

-- name: stored_answers
SELECT json_group_array(json_array(i.account_id, i.scope, i.key, i.body_hash, i.status, i.answer, i.at))
FROM jsonb_each(?) AS k
JOIN idempotency AS i
  ON i.account_id = k.value->>0 AND i.scope = k.value->>1 AND i.key = k.value->>2

-- name: store_answers
INSERT INTO idempotency (account_id, scope, key, body_hash, status, answer, at)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6
FROM jsonb_each(?)

-- name: not_paused
AND m.account_id NOT IN (SELECT value FROM json_each(?))
AND m.route_id NOT IN (SELECT value FROM json_each(?))

-- name: claim
SELECT json_group_array(json_array(
  json_array({message_columns}),
  o.sender, coalesce(m.text, o.text), m.encoding, json(o.providers)))
FROM (SELECT * FROM messages AS m
      WHERE m.provider_id = ? AND m.lane = ? AND m.rank IS NOT NULL {not_paused}
      ORDER BY m.rank LIMIT ?) AS m
JOIN orders AS o ON o.id = m.id >> 17

-- name: first_ready
SELECT m.id FROM messages AS m
WHERE m.provider_id = ? AND m.lane = ? AND m.rank IS NOT NULL {not_paused}
ORDER BY m.rank LIMIT 1

-- name: load
SELECT json_group_array(json_array({message_columns}))
FROM json_each(?) AS k
JOIN messages AS m ON m.id = k.value
JOIN orders AS o ON o.id = m.id >> 17

-- name: due
SELECT json_group_array(json_array({message_columns}))
FROM (SELECT * FROM messages WHERE wake_at <= ? ORDER BY wake_at LIMIT ?) AS m
JOIN orders AS o ON o.id = m.id >> 17

-- name: put_off
UPDATE messages SET wake_at = ?
WHERE id = (SELECT id FROM messages WHERE wake_at <= ? ORDER BY wake_at LIMIT 1)
RETURNING id

-- name: sending
SELECT json_group_array(json_array({message_columns}))
FROM (SELECT * FROM messages
      WHERE provider_id = ? AND state IN ('sending', 'ambiguous', 'waiting')
        AND state = 'sending' AND epoch < ? LIMIT ?) AS m
JOIN orders AS o ON o.id = m.id >> 17

-- name: in_doubt
SELECT json_group_array(json_array({message_columns}))
FROM (SELECT * FROM messages
      WHERE provider_id = ?1 AND msisdn IN (SELECT value FROM json_each(?2))
        AND state IN ('sending', 'ambiguous', 'waiting') AND (state <> 'waiting' OR reach > 0)
      UNION ALL
      SELECT * FROM messages
      WHERE provider_id = ?1 AND msisdn IN (SELECT value FROM json_each(?2))
        AND ((reach = 1 AND state IN ('failed', 'unknown'))
             OR (resends > 0 AND state IN ('submitted', 'failed', 'filtered', 'expired', 'unknown'))
             OR (segments > 1 AND state IN ('failed', 'filtered', 'expired', 'unknown')))
        AND changed_at >= ?3
      LIMIT ?4) AS m
JOIN orders AS o ON o.id = m.id >> 17

-- name: providers_of
SELECT json_group_array(json_array(o.id, json(o.providers)))
FROM json_each(?) AS k JOIN orders AS o ON o.id = k.value

-- name: possible_handoffs
SELECT json_group_array(json_array(
  e.body->>'attempt', e.at, e.body->>'provider',
  json(iif(EXISTS (SELECT 1 FROM events AS t
                   WHERE t.message_id = e.message_id AND t.kind = 'taken'
                     AND t.body->>'attempt' = e.body->>'attempt'), 'true', 'false')),
  json(iif(EXISTS (SELECT 1 FROM events AS u
                   WHERE u.message_id = e.message_id AND u.kind IN ('unanswered', 'part_held', 'part_refused')
                     AND u.body->>'attempt' = e.body->>'attempt'
                     AND u.body->>'parts_accepted' IS NOT NULL), 'true', 'false'))))
FROM events AS e
WHERE e.message_id = ? AND e.kind = 'claimed'
  AND NOT EXISTS (SELECT 1 FROM events AS n
                  WHERE n.message_id = e.message_id AND n.body->>'attempt' = e.body->>'attempt'
                    AND n.kind IN ('throttled', 'not_sent', 'not_bound', 'refused',
                                   'refused_retryable', 'failed_over'))

-- name: save
UPDATE messages SET
  provider_id = v.j->>10, state = v.j->>11, reach = v.j->>12, reason = v.j->>13, seq = v.j->>14,
  changed_at = v.j->>15, attempts = v.j->>16, tries = v.j->>17, resends = v.j->>18,
  rank = v.j->>19, wake_at = v.j->>20, epoch = v.j->>21, resolution = v.j->>22,
  resolution_posting = v.j->>23, provider_cost = v.j->>24, confirmed = v.j->>25, parts = v.j->>26,
  verdict = v.j->>27
FROM (SELECT value->>0 AS id, value AS j FROM jsonb_each(?)) AS v
WHERE messages.id = v.id AND messages.seq = (v.j->>14) - 1

-- name: insert_events
INSERT INTO events (message_id, seq, at, kind, from_state, to_state, actor, body)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
FROM jsonb_each(?)

-- name: take_bind
-- Only one process serves a data folder, so whoever asks is the only one who can own it.
INSERT INTO binds (provider_id, epoch, owner, taken_at) VALUES (?, 1, ?, ?)
ON CONFLICT (provider_id) DO UPDATE
SET epoch = binds.epoch + 1, owner = excluded.owner, taken_at = excluded.taken_at
RETURNING epoch

-- name: bind_epoch
SELECT epoch FROM binds WHERE provider_id = ?

-- name: add_handoffs
INSERT INTO handoffs (provider_id, external_id, message_id, attempt, part, at)
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5
FROM jsonb_each(?) WHERE true
ON CONFLICT DO NOTHING

-- name: match
SELECT json_group_array(json_array(
  w.value->>0,
  json_array(h.provider_id, h.external_id, h.message_id, h.attempt, h.part, h.at),
  json(h.seen), m.msisdn, m.state))
FROM jsonb_each(?) AS w
JOIN handoffs AS h ON h.provider_id = w.value->>1 AND h.external_id = w.value->>2
  AND h.message_id >= coalesce(
    (SELECT n.message_id FROM handoffs AS n
     WHERE n.provider_id = w.value->>1 AND n.external_id = w.value->>2
     ORDER BY n.message_id DESC LIMIT 1 OFFSET ? - 1), 0)
JOIN messages AS m ON m.id = h.message_id

-- name: match_reused
-- Of each wanted number, and of all others that are open: the open ones first, then the newest.
SELECT json_group_array(json_array(
  0, json_array(provider_id, external_id, message_id, attempt, part, at), json(seen), msisdn, state))
FROM (
  SELECT f.*, row_number() OVER (
    PARTITION BY tail ORDER BY ended, message_id DESC, attempt DESC, part) AS place
  FROM (
    SELECT h.*, m.msisdn, m.state, m.resolution IS NOT NULL AS ended,
           iif(substr(m.msisdn, -7) IN (SELECT value FROM json_each(?4)),
               substr(m.msisdn, -7), '') AS tail
    FROM (SELECT * FROM handoffs WHERE provider_id = ?1 AND external_id = ?2
          ORDER BY message_id DESC LIMIT ?3) AS h
    JOIN messages AS m ON m.id = h.message_id) AS f
  WHERE tail <> '' OR NOT ended)
WHERE place <= ?5

-- name: see
UPDATE handoffs SET seen = v.seen
FROM (SELECT value->>0 AS provider_id, value->>1 AS external_id, value->>2 AS message_id,
             value->>3 AS attempt, value->>4 AS part, value->>5 AS seen
      FROM jsonb_each(?)) AS v
WHERE handoffs.provider_id = v.provider_id AND handoffs.external_id = v.external_id
  AND handoffs.message_id = v.message_id AND handoffs.attempt = v.attempt
  AND handoffs.part = v.part

-- name: park
INSERT INTO parked_receipts (provider_id, received_at, fingerprint, receipt, count)
SELECT value->>0, ?1, value->>1, value->>2, value->>4 FROM jsonb_each(?2) WHERE true
ON CONFLICT (provider_id, fingerprint)
  DO UPDATE SET count = parked_receipts.count + excluded.count
RETURNING id, provider_id, fingerprint, count

-- name: park_forms
INSERT INTO parked_forms (provider_id, form, parked_id)
SELECT value->>0, value->>1, value->>2 FROM jsonb_each(?) WHERE true
ON CONFLICT DO NOTHING

-- name: any_parked
SELECT 1 FROM parked_forms LIMIT 1

-- name: parked_under
SELECT json_group_array(json_array(w.value->>0, f.parked_id))
FROM jsonb_each(?) AS w
JOIN parked_forms AS f ON f.provider_id = w.value->>1 AND f.form = w.value->>2
  AND f.parked_id > w.value->>3
  AND f.parked_id <= coalesce(
    (SELECT n.parked_id FROM parked_forms AS n
     WHERE n.provider_id = w.value->>1 AND n.form = w.value->>2 AND n.parked_id > w.value->>3
     ORDER BY n.parked_id LIMIT 1 OFFSET ? - 1), 9223372036854775807)

-- name: parked
SELECT json_group_array(json_array(p.id, p.provider_id, p.received_at, p.receipt, p.count))
FROM parked_receipts AS p
WHERE p.id IN (SELECT value FROM json_each(?))

-- name: parked_after
SELECT json_group_array(id)
FROM (SELECT id FROM parked_receipts WHERE id > ? ORDER BY id LIMIT ?)

-- name: newest_parked
SELECT max(id) FROM parked_receipts

-- name: parked_between
SELECT json_group_array(json_array(received_at, id))
FROM (SELECT received_at, id FROM parked_receipts
      WHERE received_at >= ?1 AND (received_at, id) > (?1, ?2) AND received_at < ?3
      ORDER BY received_at, id LIMIT ?4)

-- name: hear_later
INSERT INTO parked_heard (provider_id, form, after_id, again, turn)
SELECT value->>0, value->>1, value->>2, value->>3, coalesce(nullif(value->>4, 0), ?1)
FROM jsonb_each(?2) WHERE true
ON CONFLICT (provider_id, form) DO UPDATE SET again = 1

-- name: take_heard
DELETE FROM parked_heard WHERE (provider_id, form) IN (
  SELECT provider_id, form FROM parked_heard ORDER BY turn LIMIT ?)
RETURNING provider_id, form, after_id, again, turn

-- name: unpark_forms
DELETE FROM parked_forms WHERE parked_id IN (SELECT value FROM json_each(?))

-- name: unpark
DELETE FROM parked_receipts WHERE id IN (SELECT value FROM json_each(?))

-- name: keep_raw
INSERT INTO raw_receipts (at, provider_id, message_id, raw)
SELECT ?, value->>0, value->>1, value->>2 FROM jsonb_each(?)

-- name: parked_before
SELECT json_group_array(id)
FROM (SELECT id FROM parked_receipts WHERE received_at < ? ORDER BY received_at LIMIT ?)

-- name: forget_raw
-- Ids grow with time: only the oldest rows are looked at, and no index on the time is needed.
DELETE FROM raw_receipts
WHERE at < ? AND id IN (SELECT id FROM raw_receipts ORDER BY id LIMIT ?)

-- name: forget_answers
DELETE FROM idempotency WHERE (account_id, scope, key) IN
  (SELECT account_id, scope, key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?)

-- name: forget_answerable
DELETE FROM answerable WHERE (msisdn, sender, account_id, at, message_id) IN
  (SELECT msisdn, sender, account_id, at, message_id FROM answerable WHERE at < ?
   ORDER BY at LIMIT ?)

-- name: batch
SELECT json_group_array(json_array(id, account_id, key, options, created_at, finished_at, lines,
                                   accepted, refused, cost, prefix_hash, refusals))
FROM batches WHERE account_id = ? AND key = ?

-- name: insert_batch
INSERT INTO batches (account_id, key, options, created_at, finished_at, lines, accepted, refused,
                     cost, prefix_hash, refusals)
SELECT b->>1, b->>2, b->>3, b->>4, b->>5, b->>6, b->>7, b->>8, b->>9, b->>10, b->>11
FROM (SELECT ? AS b) WHERE true
ON CONFLICT (account_id, key) DO NOTHING
RETURNING id

-- name: update_batch
UPDATE batches
SET finished_at = b->>5, lines = b->>6, accepted = b->>7, refused = b->>8, cost = b->>9,
    prefix_hash = b->>10, refusals = b->>11
FROM (SELECT ? AS b) AS v
WHERE batches.id = b->>0
RETURNING id

-- name: catalogue
SELECT kind, body FROM catalogue ORDER BY kind, id

-- name: price_lists
SELECT route_id, max(version), currency FROM price_lists GROUP BY route_id

-- name: rates
SELECT id, prefix, country, price FROM rates WHERE route_id = ? AND version = ? ORDER BY id

-- name: put
INSERT INTO catalogue (kind, id, body, changed_at) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, changed_at = excluded.changed_at

-- name: next_price_list
SELECT coalesce(max(version), 0) + 1 FROM price_lists WHERE route_id = ?

-- name: insert_price_list
INSERT INTO price_lists (route_id, version, currency, imported_at) VALUES (?, ?, ?, ?)

-- name: insert_rates
INSERT INTO rates (route_id, version, prefix, country, price)
SELECT ?, ?, value->>0, value->>1, value->>2 FROM jsonb_each(?)

-- name: setting
SELECT value FROM meta WHERE name = ?

-- name: begin_setting
INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING

-- name: set_setting
INSERT INTO meta (name, value) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET value = excluded.value

-- name: lane_ranks
SELECT provider_id, lane, account_id, min(rank), max(rank)
FROM messages WHERE rank IS NOT NULL GROUP BY provider_id, lane, account_id

-- name: under_way_provider
-- What hasn't ended is ready, wakes some time, or is being sent; each has an index of its own.
SELECT count(*) FROM (
  SELECT id FROM messages INDEXED BY messages_wake
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND provider_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_ready
  WHERE rank IS NOT NULL AND resolution IS NULL AND provider_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_in_doubt
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND provider_id = ?
  LIMIT ?) AS m

-- name: under_way_route
-- What hasn't ended is ready, wakes some time, or is being sent; each has an index of its own.
SELECT count(*) FROM (
  SELECT id FROM messages INDEXED BY messages_wake
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND route_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_ready
  WHERE rank IS NOT NULL AND resolution IS NULL AND route_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_in_doubt
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND route_id = ?
  LIMIT ?) AS m

-- name: under_way_account
-- What hasn't ended is ready, wakes some time, or is being sent; each has an index of its own.
SELECT count(*) FROM (
  SELECT id FROM messages INDEXED BY messages_wake
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND account_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_ready
  WHERE rank IS NOT NULL AND resolution IS NULL AND account_id = ?
  UNION
  SELECT id FROM messages INDEXED BY messages_in_doubt
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND account_id = ?
  LIMIT ?) AS m
