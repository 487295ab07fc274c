The invariants as questions: each statement returns the ids of what breaks one, and nothing if it
holds. They run beside a live server, so each reads a bounded part in one short transaction:
{within x} is a stretch of x (above :low, up to :high) or some :keys, as the run has it. What is
compared over stretches is compared up to what was there when the run began. :now is in
microseconds; :legal is a JSON list of [from, kind, to].
sql/sqlite and sql/postgresql hold what a dialect asks in words of its own.

-- name: within stretch
{column} > :low AND {column} <= :high

-- name: within handoffs
(h.provider_id, h.external_id) >= (:low_provider, :low_id)
  AND (CAST(:high_provider AS TEXT) IS NULL
       OR (h.provider_id, h.external_id) < (:high_provider, :high_id))

-- name: within answers
(h.provider_id, h.external_id) IN (SELECT value->>0, value->>1 FROM {arrays pairs} AS pair)

-- name: sampled
SELECT CAST(id AS TEXT), count(*) OVER () FROM ({statement}) AS broken LIMIT :rows

-- name: end_of_postings
SELECT max(id) FROM (SELECT id FROM postings WHERE id > :low ORDER BY id LIMIT :rows) AS stretch

-- name: end_of_orders
SELECT max(id) >> 17
FROM (SELECT id FROM messages WHERE id >= (:low + 1) << 17 ORDER BY id LIMIT :rows) AS stretch

-- name: end_of_messages
SELECT max(id) FROM (SELECT id FROM messages WHERE id > :low ORDER BY id LIMIT :rows) AS stretch

-- name: end_of_batches
-- A stream has many orders, so a stretch has fewer streams.
SELECT max(id)
FROM (SELECT id FROM batches WHERE id > :low ORDER BY id LIMIT 1 + :rows / 1000) AS stretch

-- name: next_handoffs
SELECT provider_id, external_id FROM handoffs
WHERE (provider_id, external_id) > (:low_provider, :low_id)
ORDER BY provider_id, external_id LIMIT 1 OFFSET :rows

-- name: installation_secret
SELECT value FROM meta WHERE name = 'message_id_secret'

-- name: posting_accounts
SELECT id FROM postings
WHERE {within id} AND (CASE kind
  WHEN 'funding' THEN debit = 'external:funding' AND credit = 'funds:' || account_id
  WHEN 'withdrawal' THEN debit = 'funds:' || account_id AND credit = 'external:funding'
  WHEN 'hold' THEN debit = 'funds:' || account_id AND credit = 'held:' || account_id
  WHEN 'capture' THEN debit = 'held:' || account_id AND credit = 'revenue:' || currency
  WHEN 'release' THEN debit = 'held:' || account_id AND credit = 'funds:' || account_id
  WHEN 'refund' THEN debit = 'revenue:' || currency AND credit = 'funds:' || account_id
  WHEN 'recharge' THEN debit = 'funds:' || account_id AND credit = 'revenue:' || currency
  WHEN 'cost' THEN account_id IS NULL AND debit = 'cost:' || substr(debit, 6)
                   AND credit = 'payable:' || substr(debit, 6)
  ELSE false END) IS NOT TRUE

-- name: posting_currency
SELECT p.id FROM postings AS p
WHERE {within p.id} AND p.account_id IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM balances AS b
                  WHERE b.account_id = p.account_id AND b.currency = p.currency)

-- name: moved_money
SELECT account_id,
       sum(CASE WHEN credit = 'funds:' || account_id THEN amount ELSE 0 END)
         - sum(CASE WHEN debit = 'funds:' || account_id THEN amount ELSE 0 END),
       sum(CASE WHEN credit = 'held:' || account_id THEN amount ELSE 0 END)
         - sum(CASE WHEN debit = 'held:' || account_id THEN amount ELSE 0 END)
FROM postings WHERE {within id} AND account_id IS NOT NULL
GROUP BY account_id

-- name: balances_and_rest
SELECT b.account_id, sum(b.available), sum(b.held),
       coalesce((SELECT sum(CASE WHEN p.credit = 'funds:' || p.account_id THEN p.amount
                                 WHEN p.debit = 'funds:' || p.account_id THEN -p.amount ELSE 0 END)
                 FROM postings AS p WHERE p.account_id = b.account_id AND p.id > :low), 0),
       coalesce((SELECT sum(CASE WHEN p.credit = 'held:' || p.account_id THEN p.amount
                                 WHEN p.debit = 'held:' || p.account_id THEN -p.amount ELSE 0 END)
                 FROM postings AS p WHERE p.account_id = b.account_id AND p.id > :low), 0)
FROM balances AS b GROUP BY b.account_id

-- name: resolution_posting
SELECT m.id FROM messages AS m
LEFT JOIN postings AS p ON p.id = m.resolution_posting
WHERE {within m.id} AND m.resolution IS NOT NULL
  AND (p.id IS NULL OR p.account_id IS DISTINCT FROM m.account_id
       OR p.kind <> CASE m.resolution WHEN 'captured' THEN 'capture' ELSE 'release' END)

-- name: order_totals
SELECT o.id FROM orders AS o
LEFT JOIN messages AS m ON m.id >= o.id << 17 AND m.id < (o.id + 1) << 17
WHERE {within o.id}
GROUP BY o.id
HAVING count(m.id) <> o.count OR coalesce(sum(m.price), 0) <> o.cost
    OR min(m.account_id) IS DISTINCT FROM o.account_id
    OR max(m.account_id) IS DISTINCT FROM o.account_id

-- name: held_by_orders
SELECT hold_posting, sum(cost) FROM orders
WHERE {within id} AND hold_posting <= :known GROUP BY hold_posting

-- name: hold_postings
SELECT id, amount FROM postings WHERE {within id} AND kind = 'hold'

-- name: settled_by_messages
SELECT resolution_posting, sum(price) FROM messages
WHERE {within id} AND resolution_posting <= :known GROUP BY resolution_posting

-- name: settling_postings
SELECT id, amount FROM postings
WHERE {within id} AND kind IN ('capture', 'release')

-- name: adjusted_by_messages
SELECT posting_id, sum(amount) FROM adjustments
WHERE {within message_id} AND posting_id <= :known GROUP BY posting_id

-- name: adjusting_postings
SELECT id, amount FROM postings
WHERE {within id} AND kind IN ('refund', 'recharge')

-- name: parts_of_holds
SELECT hold_posting, id, cost FROM orders WHERE {within id} AND hold_posting > :posting

-- name: parts_of_settlements
SELECT resolution_posting, id, price FROM messages
WHERE {within id} AND resolution_posting > :posting

-- name: parts_of_adjustments
SELECT posting_id, message_id || '.' || n, amount FROM adjustments
WHERE {within message_id} AND posting_id > :posting

-- name: ids_given
SELECT message_id, body->>'provider', body->>'ids' FROM events
WHERE {within message_id} AND kind IN ('taken', 'unanswered', 'part_held', 'part_refused')
  AND body->>'ids' IS NOT NULL

-- name: streams_of_orders
SELECT DISTINCT batch_id FROM orders WHERE {within id} AND batch_id IS NOT NULL

-- name: due_long_ago
-- What is open past its deadline is due, unless nothing would ever wake it while it is in doubt.
SELECT id FROM (SELECT id FROM messages WHERE wake_at < :now - 60000000
                ORDER BY wake_at LIMIT :rows) AS due
UNION ALL
SELECT id FROM (SELECT id FROM messages
                WHERE state IN ('sending', 'ambiguous', 'waiting') AND wake_at IS NULL
                  AND changed_at < :now - 60000000 LIMIT :rows) AS sleeping

-- name: adjustments_in_turn
SELECT a.message_id AS id FROM adjustments AS a
LEFT JOIN messages AS m ON m.id = a.message_id
LEFT JOIN postings AS p ON p.id = a.posting_id
LEFT JOIN adjustments AS b ON b.message_id = a.message_id AND b.n = a.n - 1
WHERE {within a.message_id}
  AND (m.id IS NULL OR m.resolution IS NULL OR a.amount <> m.price
       OR p.kind IS DISTINCT FROM a.kind OR p.account_id IS DISTINCT FROM m.account_id
       OR (a.n > 1 AND b.n IS NULL)
       -- Paid and given back take turns, from what settlement left behind.
       OR a.kind <> CASE coalesce(b.kind, m.resolution)
                      WHEN 'captured' THEN 'refund' WHEN 'recharge' THEN 'refund'
                      ELSE 'recharge' END)

-- name: price_snapshot
SELECT m.id FROM messages AS m LEFT JOIN rates AS r ON r.id = m.rate_id
WHERE {within m.id}
  AND (r.id IS NULL OR r.route_id <> m.route_id OR m.price <> r.price * m.segments)

-- name: shapes
SELECT m.id, coalesce(m.text, o.text), m.encoding, m.segments,
       CASE WHEN o.decision LIKE '%"alphabet":%'
            THEN {json o.decision} -> 'route' ->> 'alphabet' ELSE 'gsm7' END
FROM messages AS m JOIN orders AS o ON o.id = m.id >> 17
WHERE {within m.id} AND coalesce(m.text, o.text) IS NOT NULL

-- name: uncharged_parts
SELECT h.message_id AS id, h.attempt, h.part, m.segments, m.parts
FROM handoffs AS h JOIN messages AS m ON m.id = h.message_id
WHERE {within handoffs}
  AND (h.part < 1 OR h.part > m.segments)

-- name: unresolved_ends
SELECT id FROM messages
WHERE {within id} AND resolution IS NULL
  AND state IN ('delivered', 'failed', 'filtered', 'expired', 'cancelled', 'unknown')

-- name: charged_unsent
SELECT id FROM messages
WHERE {within id} AND (reach = 0 OR state = 'cancelled') AND resolution = 'captured'

-- name: resolved_open
SELECT id FROM messages
WHERE {within id} AND resolution IS NOT NULL
  AND state NOT IN ('delivered', 'failed', 'filtered', 'expired', 'cancelled', 'unknown')

-- name: unexplained_cost
SELECT m.id FROM messages AS m
WHERE {within m.id} AND m.provider_cost <> 0
  AND NOT EXISTS (SELECT 1 FROM events AS e WHERE e.message_id = m.id
                  AND e.kind IN ('taken', 'part_refused', 'reconciled'))

-- name: message_costs
SELECT coalesce(sum(provider_cost), 0), count(*) FROM messages WHERE {within id}

-- name: posted_costs
SELECT coalesce(sum(amount), 0) FROM postings
WHERE {within id} AND kind = 'cost'

-- name: whole_orders
SELECT o.id FROM orders AS o LEFT JOIN postings AS p ON p.id = o.hold_posting
WHERE {within o.id}
  AND (p.id IS NULL OR p.kind <> 'hold' OR p.account_id IS DISTINCT FROM o.account_id
       OR p.currency <> o.currency)

-- name: messages_of_orders
SELECT m.id FROM messages AS m LEFT JOIN orders AS o ON o.id = m.id >> 17
WHERE {within m.id}
  AND (o.id IS NULL OR o.account_id <> m.account_id OR o.route_id <> m.route_id)

-- name: orphans
SELECT id FROM messages
WHERE {within id}
  AND state IN ('accepted', 'scheduled', 'waiting', 'sending', 'ambiguous', 'submitted')
  AND ((rank IS NULL AND wake_at IS NULL AND state <> 'sending')
       OR (rank IS NOT NULL AND state NOT IN ('accepted', 'scheduled', 'waiting'))
       OR provider_id NOT IN (SELECT id FROM catalogue WHERE kind = 'provider'))

-- name: illegal_moves
SELECT DISTINCT e.message_id AS id FROM events AS e
WHERE {within e.message_id} AND NOT CASE
  WHEN e.from_state IS NULL THEN e.seq = 1 AND e.to_state IN ('accepted', 'scheduled')
  WHEN e.from_state = e.to_state THEN true
  ELSE (e.from_state, e.kind, e.to_state) IN
       (SELECT value->>0, value->>1, value->>2 FROM {arrays legal} AS legal) END

-- name: event_gaps
SELECT m.id FROM messages AS m
LEFT JOIN events AS e ON e.message_id = m.id
WHERE {within m.id}
GROUP BY m.id
HAVING count(e.seq) <> m.seq OR min(e.seq) IS DISTINCT FROM 1 OR max(e.seq) IS DISTINCT FROM m.seq

-- name: state_is_fold
SELECT m.id FROM messages AS m
LEFT JOIN events AS e ON e.message_id = m.id AND e.seq = m.seq
WHERE {within m.id}
  AND (e.to_state IS DISTINCT FROM m.state OR e.at IS DISTINCT FROM m.changed_at)

-- name: verdict_is_told
SELECT m.id FROM messages AS m
WHERE {within m.id} AND m.verdict IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM events AS e
                  WHERE e.message_id = m.id AND e.body->'model'->>'verdict' = m.verdict)

-- name: broken_chains
SELECT DISTINCT e.message_id AS id FROM events AS e
JOIN events AS before ON before.message_id = e.message_id AND before.seq = e.seq - 1
WHERE {within e.message_id} AND e.from_state IS DISTINCT FROM before.to_state

-- name: events_without_message
SELECT DISTINCT e.message_id AS id FROM events AS e
WHERE {within e.message_id}
  AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.id = e.message_id)

-- name: unintended_handoffs
SELECT m.id FROM messages AS m
LEFT JOIN events AS e ON e.message_id = m.id AND e.kind = 'claimed'
WHERE {within m.id}
GROUP BY m.id
HAVING count(e.seq) <> m.attempts OR (m.reach > 0 AND m.attempts = 0)

-- name: resends_without_policy
SELECT DISTINCT m.id FROM messages AS m JOIN orders AS o ON o.id = m.id >> 17
LEFT JOIN events AS e ON e.message_id = m.id AND e.kind = 'resend_allowed'
WHERE {within m.id}
  AND ((o.on_ambiguous <> 'resend' AND (m.resends > 0 OR e.seq IS NOT NULL))
       OR (m.resends > 0 AND e.seq IS NULL))

-- name: second_handoffs
-- Attempts that nobody proved not taken, against what the policy allowed.
SELECT m.id FROM messages AS m JOIN events AS c ON c.message_id = m.id AND c.kind = 'claimed'
WHERE {within m.id} AND m.attempts > 1
  AND NOT EXISTS (SELECT 1 FROM events AS n
                  WHERE n.message_id = m.id AND n.body->>'attempt' = c.body->>'attempt'
                    AND n.kind IN ('throttled', 'not_sent', 'not_bound', 'refused',
                                   'refused_retryable', 'failed_over'))
GROUP BY m.id
HAVING count(*) > 1 + (SELECT count(*) FROM events AS r
                       WHERE r.message_id = m.id AND r.kind = 'resend_allowed')

-- name: epochs_ahead
SELECT m.id FROM messages AS m LEFT JOIN binds AS b ON b.provider_id = m.provider_id
WHERE m.state IN ('sending', 'ambiguous', 'waiting') AND m.state = 'sending' AND m.epoch > coalesce(b.epoch, 0)

-- name: abandoned_sending
SELECT m.id FROM messages AS m JOIN binds AS b ON b.provider_id = m.provider_id
WHERE m.state IN ('sending', 'ambiguous', 'waiting') AND m.state = 'sending'
  AND m.epoch < b.epoch AND m.changed_at < :now - 60000000

-- name: overdue
SELECT m.id FROM messages AS m JOIN orders AS o ON o.id = m.id >> 17
WHERE {within m.id} AND o.outcome_deadline < :now - 60000000
  AND m.state IN ('accepted', 'scheduled', 'waiting', 'sending', 'ambiguous', 'submitted')

-- name: delivered_without_evidence
SELECT m.id FROM messages AS m
WHERE {within m.id} AND m.state = 'delivered'
  AND NOT EXISTS (SELECT 1 FROM events AS e
                  WHERE e.message_id = m.id AND e.kind = 'receipt_delivered')

-- name: parked_too_long
SELECT id FROM parked_receipts WHERE received_at < :now - 73 * 3600000000

-- name: parked_without_form
SELECT p.id FROM parked_receipts AS p
WHERE NOT EXISTS (SELECT 1 FROM parked_forms AS f WHERE f.parked_id = p.id)

-- name: wrong_environment
SELECT DISTINCT h.message_id AS id FROM handoffs AS h
JOIN orders AS o ON o.id = h.message_id >> 17
JOIN catalogue AS k ON k.kind = 'key' AND k.id = o.key_id
JOIN catalogue AS p ON p.kind = 'provider' AND p.id = h.provider_id
WHERE {within handoffs}
  AND (k.body->>'environment' = 'test')
      <> (CAST(p.body->>'sandbox' AS TEXT) IN ('true', '1'))

-- name: times_go_back
SELECT DISTINCT e.message_id AS id FROM events AS e
JOIN events AS before ON before.message_id = e.message_id AND before.seq = e.seq - 1
WHERE {within e.message_id} AND e.at <= before.at
