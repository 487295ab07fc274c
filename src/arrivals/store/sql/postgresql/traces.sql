-- name: by_client_ref
(SELECT * FROM messages WHERE {owned account_id = ?} AND client_ref = ?
 UNION ALL
 SELECT m.* FROM orders AS o
 {messages of o}
 WHERE {owned o.account_id = ?} AND o.client_ref = ? AND m.client_ref IS NULL)
