-- name: by_client_ref
(SELECT * FROM messages WHERE account_id = ? AND client_ref = ?
 UNION ALL
 SELECT m.* FROM orders AS o
 JOIN messages AS m ON m.id >= o.id << 17 AND m.id < (o.id + 1) << 17
 WHERE o.account_id = ? AND o.client_ref = ? AND m.client_ref IS NULL)
