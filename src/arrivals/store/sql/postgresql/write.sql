Statements of the writing transaction on PostgreSQL. As on SQLite a batch goes in as one JSON
array and comes out as one.
Differs because several processes write at once: what is read to be changed is locked, in the
order of its ids, so that overlapping batches wait for each other and never in a circle; and
because values out of JSON need their types said.

-- name: own_commit
-- Waits for a transaction that is still undecided. One that was lost leaves no row; then this puts
-- its own there, and says so.
INSERT INTO writers (holder, serial, begun_at, looked_up) VALUES (?, ?, ?, TRUE)
ON CONFLICT (holder, serial) DO UPDATE SET serial = excluded.serial
RETURNING looked_up

-- name: end_standstills
-- Ends writers of whose transaction the server has waited too long for the next statement, while it
-- was asked for no answer: idle_in_transaction_session_timeout doesn't see those.
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user
AND starts_with(application_name, 'arrivals writer ')
AND state = 'active' AND wait_event = 'ClientRead'
AND state_change < clock_timestamp() - ? * interval '1 millisecond'

-- name: insert_orders
INSERT INTO orders (id, account_id, key_id, route_id, accepted_at, category, sender, text,
                    client_ref, request_id, send_at, expires_at, outcome_deadline, on_ambiguous,
                    providers, count, cost, currency, hold_posting, balance_after, decision, batch_id)
SELECT (value->>0)::bigint, (value->>1)::bigint, value->>2, (value->>3)::bigint,
       (value->>4)::bigint, value->>5, value->>6, value->>7, value->>8, value->>9,
       (value->>10)::bigint, (value->>11)::bigint, (value->>12)::bigint, value->>13, value->>14,
       (value->>15)::bigint, (value->>16)::bigint, value->>17, (value->>18)::bigint,
       (value->>19)::bigint, value->>20, (value->>21)::bigint
FROM {arrays}

-- name: insert_messages
INSERT INTO messages (id, account_id, route_id, msisdn, country, text, client_ref, encoding,
                      segments, rate_id, price, provider_id, lane, state, rank, wake_at,
                      changed_at, seq)
SELECT (value->>0)::bigint, (value->>1)::bigint, (value->>2)::bigint, value->>3, value->>4,
       value->>5, value->>6, value->>7, (value->>8)::bigint, (value->>9)::bigint,
       (value->>10)::bigint, value->>11, (value->>12)::bigint, value->>13,
       (value->>14)::bigint, (value->>15)::bigint, (value->>16)::bigint, 1
FROM {arrays}

-- name: insert_first_events
INSERT INTO events (message_id, seq, at, kind, from_state, to_state, actor, body)
SELECT (value->>0)::bigint, 1, (value->>16)::bigint, 'accepted', NULL, value->>13, 'api', '{}'
FROM {arrays}

-- name: next_order_ids
SELECT {list[}nextval('order_ids'){]list} FROM generate_series(1, ?)

-- name: raise_order_ids
SELECT raise_order_ids(?)

-- name: next_posting_ids
-- The transaction's own number comes first: so whoever waits for all older transactions to end
-- has seen every posting below an id that was given out by then.
SELECT pg_current_xact_id(), nextval('posting_ids')

-- name: insert_postings
INSERT INTO postings (id, at, kind, account_id, debit, credit, amount, currency, reason, reference)
SELECT (value->>0)::bigint, (value->>1)::bigint, value->>2, (value->>3)::bigint, value->>4,
       value->>5, (value->>6)::bigint, value->>7, value->>8, value->>9
FROM {arrays}

-- name: lock_balances
SELECT 1 FROM balances AS b
WHERE b.slot = ? AND b.account_id IN (SELECT CAST(value AS BIGINT) FROM {values})
ORDER BY b.account_id FOR NO KEY UPDATE

-- name: balances
-- Another statement than the lock's, and so a later look: what somebody moved between two slots
-- while we waited for ours would be missing from both, or be in both.
SELECT {[}own.account_id, own.currency, own.available, own.held, own.credit_limit,
          o.available, o.held, o.credit_limit{]}
FROM balances AS own CROSS JOIN LATERAL (
  SELECT coalesce(sum(b.available), 0) AS available, coalesce(sum(b.held), 0) AS held,
         coalesce(sum(b.credit_limit), 0) AS credit_limit
  FROM balances AS b WHERE b.account_id = own.account_id AND b.slot <> own.slot) AS o
WHERE own.slot = ? AND own.account_id IN (SELECT CAST(value AS BIGINT) FROM {values})

-- name: open_slots
INSERT INTO balances (account_id, slot, currency)
SELECT b.account_id, ?, b.currency FROM balances AS b
WHERE b.slot = 0 AND b.account_id IN (SELECT CAST(value AS BIGINT) FROM {values})
ORDER BY b.account_id
ON CONFLICT (account_id, slot) DO NOTHING

-- name: update_balances
UPDATE balances SET available = balances.available + v.available, held = balances.held + v.held
FROM (SELECT (value->>0)::bigint AS account_id, (value->>1)::bigint AS available,
             (value->>2)::bigint AS held
      FROM {arrays} ORDER BY 1) AS v
WHERE balances.account_id = v.account_id AND balances.slot = ?

-- name: lock_slots
SELECT slot, available, credit_limit FROM balances WHERE account_id = ?
ORDER BY slot FOR NO KEY UPDATE

-- name: lock_free_slots
SELECT slot, available, credit_limit FROM balances WHERE account_id = ?
ORDER BY slot FOR NO KEY UPDATE SKIP LOCKED

-- name: lock_slot
SELECT slot, available, credit_limit FROM balances WHERE account_id = ? AND slot = ?
FOR NO KEY UPDATE

-- name: rich_slots
SELECT slot FROM balances WHERE account_id = ? AND available + credit_limit > 0
ORDER BY available + credit_limit DESC

-- name: move_funds
UPDATE balances SET available = balances.available + v.available
FROM (SELECT (value->>0)::bigint AS slot, (value->>1)::bigint AS available FROM {arrays}) AS v
WHERE balances.account_id = ? AND balances.slot = v.slot

-- name: set_limit
UPDATE balances SET credit_limit = ? WHERE account_id = ? AND slot = 0

-- name: open_balance
INSERT INTO balances (account_id, currency, credit_limit) VALUES (?, ?, ?)
ON CONFLICT (account_id, slot) DO NOTHING

-- name: posted
SELECT id, CASE kind WHEN 'withdrawal' THEN -amount ELSE amount END
FROM postings WHERE account_id = ? AND reference = ?

-- name: next_adjustment
SELECT coalesce(max(n), 0) + 1 FROM adjustments WHERE message_id = ?

-- name: insert_adjustment
INSERT INTO adjustments (message_id, n, kind, amount, posting_id) VALUES (?, ?, ?, ?, ?)

-- name: adjustments
SELECT {[}a.message_id, a.kind{]}
FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
JOIN adjustments AS a ON a.message_id = k.id
WHERE a.n = (SELECT max(b.n) FROM adjustments AS b WHERE b.message_id = a.message_id)

-- name: stored_answers
SELECT {[}i.account_id, i.scope, i.key, i.body_hash, i.status, i.answer, i.at{]}
FROM {arrays} AS k
JOIN idempotency AS i
  ON i.account_id = (k.value->>0)::bigint AND i.scope = k.value->>1 AND i.key = k.value->>2

-- name: store_answers
INSERT INTO idempotency (account_id, scope, key, body_hash, status, answer, at)
SELECT (value->>0)::bigint, value->>1, value->>2, value->>3, (value->>4)::bigint, value->>5,
       (value->>6)::bigint
FROM {arrays} ORDER BY 1, 2, 3

-- name: not_paused
AND m.account_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values})
AND m.route_id NOT IN (SELECT CAST(value AS BIGINT) FROM {values})

-- name: claim
WITH m AS MATERIALIZED (
  SELECT * FROM messages AS m
  WHERE m.provider_id = ? AND m.lane = ? AND m.rank IS NOT NULL AND m.rank >= ? {not_paused}
  ORDER BY m.rank LIMIT ? FOR NO KEY UPDATE SKIP LOCKED)
SELECT {[}{row}({message_columns}), o.sender, coalesce(m.text, o.text), m.encoding,
          {json o.providers}{]}
FROM m JOIN orders AS o ON o.id = m.id >> 17

-- name: first_ready
SELECT m.id FROM messages AS m
WHERE m.provider_id = ? AND m.lane = ? AND m.rank IS NOT NULL {not_paused}
ORDER BY m.rank LIMIT 1

-- name: load
WITH k AS (SELECT CAST(value AS BIGINT) AS id FROM {values}),
m AS MATERIALIZED (
  SELECT m.* FROM k JOIN messages AS m ON m.id = k.id ORDER BY m.id FOR NO KEY UPDATE OF m)
SELECT {[}{message_columns}{]} FROM m JOIN orders AS o ON o.id = m.id >> 17

-- name: lock_messages
WITH k AS (SELECT CAST(value AS BIGINT) AS id FROM {values}),
m AS MATERIALIZED (
  SELECT m.id FROM k JOIN messages AS m ON m.id = k.id ORDER BY m.id FOR NO KEY UPDATE OF m)
SELECT count(*) FROM m

-- name: due
WITH m AS MATERIALIZED (
  SELECT * FROM messages AS m WHERE m.wake_at <= ? AND m.wake_at >= ?
  ORDER BY m.wake_at LIMIT ? FOR NO KEY UPDATE SKIP LOCKED)
SELECT {[}{message_columns}{]} FROM m JOIN orders AS o ON o.id = m.id >> 17

-- name: put_off
UPDATE messages SET wake_at = ?
WHERE id = (SELECT m.id FROM messages AS m WHERE m.wake_at <= ? ORDER BY m.wake_at LIMIT 1
            FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id

-- name: sending
WITH m AS MATERIALIZED (
  SELECT * FROM messages AS m
  WHERE m.provider_id = ? AND m.state IN ('sending', 'ambiguous', 'waiting')
    AND m.state = 'sending' AND m.epoch < ?
  ORDER BY m.id LIMIT ? FOR NO KEY UPDATE)
SELECT {[}{message_columns}{]} FROM m JOIN orders AS o ON o.id = m.id >> 17

-- name: in_doubt
-- Not locked: what changes one of these in the meantime makes the write stale, and it runs again.
WITH wanted AS MATERIALIZED (
  SELECT p.provider_id, value AS msisdn, s.since
  FROM (SELECT CAST(? AS TEXT) AS provider_id) AS p CROSS JOIN {values}
  CROSS JOIN (SELECT CAST(? AS BIGINT) AS since) AS s)
SELECT {[}{message_columns}{]}
FROM (SELECT m.* FROM messages AS m JOIN wanted AS w USING (provider_id, msisdn)
      WHERE m.state IN ('sending', 'ambiguous', 'waiting')
        AND (m.state <> 'waiting' OR m.reach > 0)
      UNION ALL
      SELECT m.* FROM messages AS m JOIN wanted AS w USING (provider_id, msisdn)
      WHERE ((m.reach = 1 AND m.state IN ('failed', 'unknown'))
             OR (m.resends > 0
                 AND m.state IN ('submitted', 'failed', 'filtered', 'expired', 'unknown'))
             OR (m.segments > 1 AND m.state IN ('failed', 'filtered', 'expired', 'unknown')))
        AND m.changed_at >= w.since
      LIMIT ?) AS m
JOIN orders AS o ON o.id = m.id >> 17

-- name: providers_of
SELECT {[}o.id, {json o.providers}{]}
FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k JOIN orders AS o ON o.id = k.id

-- name: possible_handoffs
SELECT {[}(e.body->>'attempt')::bigint, e.at, e.body->>'provider',
        EXISTS (SELECT 1 FROM events AS t
                    WHERE t.message_id = e.message_id AND t.kind = 'taken'
                      AND t.body->>'attempt' = e.body->>'attempt'),
        EXISTS (SELECT 1 FROM events AS u
                    WHERE u.message_id = e.message_id AND u.kind IN ('unanswered', 'part_held', 'part_refused')
                      AND u.body->>'attempt' = e.body->>'attempt'
                      AND u.body->>'parts_accepted' IS NOT NULL){]}
FROM events AS e
WHERE e.message_id = ? AND e.kind = 'claimed'
  AND NOT EXISTS (SELECT 1 FROM events AS n
                  WHERE n.message_id = e.message_id AND n.body->>'attempt' = e.body->>'attempt'
                    AND n.kind IN ('throttled', 'not_sent', 'not_bound', 'refused',
                                   'refused_retryable', 'failed_over'))

-- name: save
UPDATE messages SET
  provider_id = v.j->>10, state = v.j->>11, reach = (v.j->>12)::bigint, reason = v.j->>13,
  seq = (v.j->>14)::bigint, changed_at = (v.j->>15)::bigint, attempts = (v.j->>16)::bigint,
  tries = (v.j->>17)::bigint, resends = (v.j->>18)::bigint, rank = (v.j->>19)::bigint,
  wake_at = (v.j->>20)::bigint, epoch = (v.j->>21)::bigint, resolution = v.j->>22,
  resolution_posting = (v.j->>23)::bigint, provider_cost = (v.j->>24)::bigint,
  confirmed = v.j->>25, parts = v.j->>26, verdict = v.j->>27
FROM (SELECT (value->>0)::bigint AS id, (value->>14)::bigint - 1 AS seq, value AS j
      FROM {arrays} ORDER BY 1) AS v
WHERE messages.id = v.id AND messages.seq = v.seq

-- name: insert_events
INSERT INTO events (message_id, seq, at, kind, from_state, to_state, actor, body)
SELECT (value->>0)::bigint, (value->>1)::bigint, (value->>2)::bigint, value->>3, value->>4,
       value->>5, value->>6, (value->7)::json
FROM {arrays}

-- name: take_bind
INSERT INTO binds (provider_id, epoch, owner, taken_at, leased_until)
VALUES (?, 1, ?, ?, clock_timestamp() + ? * interval '1 microsecond')
ON CONFLICT (provider_id) DO UPDATE
SET epoch = binds.epoch + 1, owner = excluded.owner, taken_at = excluded.taken_at,
    leased_until = excluded.leased_until, up = false
WHERE binds.leased_until <= clock_timestamp() OR binds.owner = excluded.owner
RETURNING epoch

-- name: renew_bind
UPDATE binds SET leased_until = clock_timestamp() + ? * interval '1 microsecond', up = ?
WHERE provider_id = ? AND epoch = ?

-- name: release_bind
UPDATE binds SET leased_until = '-infinity' WHERE provider_id = ? AND epoch = ?

-- name: bind_epoch
-- Locked against a new owner until this transaction ends.
SELECT epoch FROM binds WHERE provider_id = ? FOR SHARE

-- name: leased_elsewhere
SELECT {[}provider_id, up{]} FROM binds WHERE leased_until > clock_timestamp() AND owner <> ?

-- name: note_lane
INSERT INTO lanes (provider_id, lane, rank) VALUES (?, ?, ?)
ON CONFLICT (provider_id, lane) DO UPDATE SET rank = greatest(lanes.rank, excluded.rank)

-- name: lane_times
SELECT provider_id, lane, rank FROM lanes

-- name: add_handoffs
INSERT INTO handoffs (provider_id, external_id, message_id, attempt, part, at)
SELECT value->>0, value->>1, (value->>2)::bigint, (value->>3)::bigint, (value->>4)::bigint,
       (value->>5)::bigint
FROM {arrays} ORDER BY 1, 2, 3, 4, 5
ON CONFLICT DO NOTHING

-- name: match
-- Of an id that a provider used again and again: the newest.
SELECT {[}(w.value->>0)::bigint,
  {row}(h.provider_id, h.external_id, h.message_id, h.attempt, h.part, h.at),
  {json h.seen}, h.msisdn, h.state{]}
FROM {arrays} AS w CROSS JOIN LATERAL (
  SELECT h.*, m.msisdn, m.state
  FROM handoffs AS h JOIN messages AS m ON m.id = h.message_id
  WHERE h.provider_id = w.value->>1 AND h.external_id = w.value->>2
  ORDER BY h.message_id DESC, h.attempt DESC, h.part DESC LIMIT ?) AS h

-- name: match_reused
-- Of each wanted number, and of all others that are open: the open ones first, then the newest.
WITH h AS MATERIALIZED (
  SELECT * FROM handoffs WHERE provider_id = ? AND external_id = ?
  ORDER BY message_id DESC LIMIT ?),
f AS (
  SELECT h.*, m.msisdn, m.state, m.resolution IS NOT NULL AS ended,
         CASE WHEN right(m.msisdn, 7) IN (SELECT value FROM {values})
              THEN right(m.msisdn, 7) ELSE '' END AS tail
  FROM h JOIN messages AS m ON m.id = h.message_id),
placed AS (
  SELECT f.*, row_number() OVER (
    PARTITION BY tail ORDER BY ended, message_id DESC, attempt DESC, part) AS place
  FROM f WHERE tail <> '' OR NOT ended)
SELECT {[}0, {row}(provider_id, external_id, message_id, attempt, part, at),
        {json seen}, msisdn, state{]}
FROM placed WHERE place <= ?

-- name: see
-- What was counted since it was read would be lost: such a row is passed over, and the caller told.
UPDATE handoffs SET seen = v.seen
FROM (SELECT value->>0 AS provider_id, value->>1 AS external_id,
             (value->>2)::bigint AS message_id, (value->>3)::bigint AS attempt,
             (value->>4)::bigint AS part, value->>5 AS seen, value->6 AS before
      FROM {arrays} ORDER BY 1, 2, 3, 4, 5) AS v
WHERE handoffs.provider_id = v.provider_id AND handoffs.external_id = v.external_id
  AND handoffs.message_id = v.message_id AND handoffs.attempt = v.attempt
  AND handoffs.part = v.part
  AND (v.before = 'null' OR CAST(handoffs.seen AS jsonb) = v.before)

-- name: park
INSERT INTO parked_receipts (provider_id, received_at, fingerprint, receipt, count)
SELECT value->>0, w.now, value->>1, value->>2, (value->>4)::bigint
FROM (SELECT CAST(? AS BIGINT) AS now) AS w CROSS JOIN {arrays}
ON CONFLICT (provider_id, fingerprint)
  DO UPDATE SET count = parked_receipts.count + excluded.count
RETURNING id, provider_id, fingerprint, count

-- name: park_forms
INSERT INTO parked_forms (provider_id, form, parked_id)
SELECT value->>0, value->>1, (value->>2)::bigint FROM {arrays}
ON CONFLICT DO NOTHING

-- name: any_parked
SELECT 1 FROM parked_forms LIMIT 1

-- name: parked_under
SELECT {[}(w.value->>0)::bigint, f.parked_id{]}
FROM {arrays} AS w CROSS JOIN LATERAL (
  SELECT parked_id FROM parked_forms
  WHERE provider_id = w.value->>1 AND form = w.value->>2 AND parked_id > (w.value->>3)::bigint
  ORDER BY parked_id LIMIT ?) AS f

-- name: parked
WITH p AS MATERIALIZED (
  SELECT * FROM parked_receipts WHERE id IN (SELECT CAST(value AS BIGINT) FROM {values})
  ORDER BY id FOR UPDATE)
SELECT {[}p.id, p.provider_id, p.received_at, p.receipt, p.count{]} FROM p

-- name: parked_after
SELECT {list[}id{]list}
FROM (SELECT id FROM parked_receipts WHERE id > ? ORDER BY id LIMIT ?) AS found

-- name: newest_parked
SELECT max(id) FROM parked_receipts

-- name: parked_between
SELECT {[}received_at, id{]}
FROM (SELECT p.received_at, p.id
      FROM parked_receipts AS p
      CROSS JOIN (SELECT CAST(? AS BIGINT) AS since, CAST(? AS BIGINT) AS last) AS w
      WHERE p.received_at >= w.since AND (p.received_at, p.id) > (w.since, w.last)
        AND p.received_at < ?
      ORDER BY p.received_at, p.id LIMIT ?) AS found

-- name: hear_later
INSERT INTO parked_heard (provider_id, form, after_id, again, turn)
SELECT value->>0, value->>1, (value->>2)::bigint, (value->>3)::bigint,
       coalesce(nullif((value->>4)::bigint, 0), w.now)
FROM (SELECT CAST(? AS BIGINT) AS now) AS w CROSS JOIN {arrays} ORDER BY 1, 2
ON CONFLICT (provider_id, form) DO UPDATE SET again = 1

-- name: take_heard
WITH h AS MATERIALIZED (
  SELECT provider_id, form FROM parked_heard ORDER BY turn LIMIT ? FOR UPDATE SKIP LOCKED)
DELETE FROM parked_heard AS p USING h WHERE p.provider_id = h.provider_id AND p.form = h.form
RETURNING p.provider_id, p.form, p.after_id, p.again, p.turn

-- name: unpark_forms
DELETE FROM parked_forms WHERE parked_id IN (SELECT CAST(value AS BIGINT) FROM {values})

-- name: unpark
DELETE FROM parked_receipts WHERE id IN (SELECT CAST(value AS BIGINT) FROM {values})

-- name: keep_raw
INSERT INTO raw_receipts (at, provider_id, message_id, raw)
SELECT ?, value->>0, (value->>1)::bigint, value->>2 FROM {arrays}

-- name: parked_before
WITH p AS (SELECT id FROM parked_receipts WHERE received_at < ? ORDER BY received_at LIMIT ?
           FOR UPDATE SKIP LOCKED)
SELECT {list[}id{]list} FROM p

-- name: forget_raw
-- Whole days are dropped at once (see spans); these are stragglers of days without a partition.
DELETE FROM raw_receipts_other
WHERE at < ? AND id IN (SELECT r.id FROM raw_receipts_other AS r ORDER BY r.id LIMIT ?)

-- name: forget_answers
WITH old AS (SELECT account_id, scope, key FROM idempotency WHERE at < ? ORDER BY at LIMIT ?
             FOR UPDATE SKIP LOCKED)
DELETE FROM idempotency AS i USING old
WHERE i.account_id = old.account_id AND i.scope = old.scope AND i.key = old.key

-- name: forget_answerable
WITH old AS (SELECT * FROM answerable WHERE at < ? ORDER BY at LIMIT ? FOR UPDATE SKIP LOCKED)
DELETE FROM answerable AS a USING old
WHERE a.msisdn = old.msisdn AND a.sender = old.sender AND a.account_id = old.account_id
  AND a.at = old.at AND a.message_id = old.message_id

-- name: batch
WITH b AS (SELECT * FROM batches WHERE account_id = ? AND key = ? FOR UPDATE)
SELECT {[}id, account_id, key, options, created_at, finished_at, lines, accepted, refused, cost,
          prefix_hash, refusals{]} FROM b

-- name: insert_batch
INSERT INTO batches (account_id, key, options, created_at, finished_at, lines, accepted, refused,
                     cost, prefix_hash, refusals)
SELECT (b->>1)::bigint, b->>2, b->>3, (b->>4)::bigint, (b->>5)::bigint, (b->>6)::bigint,
       (b->>7)::bigint, (b->>8)::bigint, (b->>9)::bigint, b->>10, b->>11
FROM (SELECT CAST(? AS jsonb) AS b) AS v
ON CONFLICT (account_id, key) DO NOTHING
RETURNING id

-- name: update_batch
UPDATE batches
SET finished_at = (b->>5)::bigint, lines = (b->>6)::bigint, accepted = (b->>7)::bigint,
    refused = (b->>8)::bigint, cost = (b->>9)::bigint, prefix_hash = b->>10, refusals = b->>11
FROM (SELECT CAST(? AS jsonb) AS b) AS v
WHERE batches.id = (b->>0)::bigint
RETURNING id

-- name: catalogue
SELECT kind, body FROM catalogue ORDER BY kind, id

-- name: price_lists
SELECT route_id, version, currency FROM price_lists AS p
WHERE version = (SELECT max(version) FROM price_lists AS q WHERE q.route_id = p.route_id)

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
SELECT ?, ?, value->>0, value->>1, (value->>2)::bigint FROM {arrays}

-- name: setting
SELECT value FROM meta WHERE name = ?

-- name: lock_setting
INSERT INTO meta (name, value) VALUES (?, '0')
ON CONFLICT (name) DO UPDATE SET name = excluded.name

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
  SELECT id FROM messages
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND provider_id = ?
  UNION
  SELECT id FROM messages
  WHERE rank IS NOT NULL AND resolution IS NULL AND provider_id = ?
  UNION
  SELECT id FROM messages
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND provider_id = ?
  LIMIT ?) AS m

-- name: under_way_route
-- What hasn't ended is ready, wakes some time, or is being sent; each has an index of its own.
SELECT count(*) FROM (
  SELECT id FROM messages
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND route_id = ?
  UNION
  SELECT id FROM messages
  WHERE rank IS NOT NULL AND resolution IS NULL AND route_id = ?
  UNION
  SELECT id FROM messages
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND route_id = ?
  LIMIT ?) AS m

-- name: under_way_account
-- What hasn't ended is ready, wakes some time, or is being sent; each has an index of its own.
SELECT count(*) FROM (
  SELECT id FROM messages
  WHERE wake_at IS NOT NULL AND resolution IS NULL AND account_id = ?
  UNION
  SELECT id FROM messages
  WHERE rank IS NOT NULL AND resolution IS NULL AND account_id = ?
  UNION
  SELECT id FROM messages
  WHERE state IN ('sending', 'ambiguous', 'waiting') AND state = 'sending' AND account_id = ?
  LIMIT ?) AS m
