Statements that read events in the order in which a reader may count on them.

-- name: feed_horizon
-- Below it every transaction has ended: what is missing there now is missing for ever.
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS TEXT) AS BIGINT)

-- name: feed
SELECT {[}e.tx, e.message_id, e.seq, e.at, e.kind, e.from_state, e.to_state, e.actor, e.body{]}
FROM (SELECT * FROM events AS e
      WHERE e.tx >= ? AND e.tx < ? AND (e.tx, e.message_id, e.seq) > (?, ?, ?)
      ORDER BY e.tx, e.message_id, e.seq LIMIT ?) AS e
