Differs because only SQLite's planner has to be told which indexes serve a reference: it would
pass them over for the order of the page.

-- name: by_client_ref
(SELECT * FROM messages INDEXED BY messages_client_ref WHERE {owned account_id = ?} AND client_ref = ?
 UNION ALL
 SELECT m.* FROM orders AS o INDEXED BY orders_client_ref
 CROSS JOIN messages AS m ON m.id >= o.id << 17 AND m.id < (o.id + 1) << 17
 WHERE {owned o.account_id = ?} AND o.client_ref = ? AND m.client_ref IS NULL)
