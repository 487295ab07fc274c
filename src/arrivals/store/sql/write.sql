Statements of the writing transaction that both databases understand.

-- name: handed_off_at
SELECT {[}message_id, at{]}
FROM (SELECT e.message_id, min(e.at) AS at
      FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
      JOIN events AS e ON e.message_id = k.id
      WHERE e.kind = 'taken' GROUP BY e.message_id) AS t

-- name: told
SELECT {[}e.at, {json e.body}{]}
FROM (SELECT at, body FROM events WHERE message_id = ? AND kind = ?) AS e

-- name: asked_again
SELECT {list[}id{]list}
FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
WHERE EXISTS (SELECT 1 FROM events AS e
              WHERE e.message_id = k.id AND e.kind = 'feedback'
                AND e.body->>'kind' = 'asked_again')

-- name: standing_alarms
SELECT {[}id, began_at, raised_at, seen_at, ended_at, {json trouble}{]}
FROM (SELECT * FROM alarms WHERE ended_at IS NULL ORDER BY id LIMIT ?) AS a

-- name: begin_alarm
INSERT INTO alarms (kind, cell, began_at, raised_at, seen_at, trouble) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO NOTHING RETURNING id

-- name: change_alarm
-- An ended one stays as it is; another process may have ended it a moment ago.
UPDATE alarms SET cell = ?, began_at = ?, seen_at = ?, ended_at = ?, trouble = ?
WHERE id = ? AND ended_at IS NULL RETURNING id

-- name: forget_alarms
DELETE FROM alarms WHERE ended_at IS NOT NULL AND id <= (SELECT max(id) FROM alarms) - ?

-- name: add_answerable
INSERT INTO answerable (msisdn, sender, account_id, at, message_id)
SELECT value->>0, value->>1, CAST(value->>2 AS BIGINT), CAST(value->>3 AS BIGINT),
       CAST(value->>4 AS BIGINT)
FROM {arrays}

-- name: answerable
-- Whose answer it is can't be told where several accounts used one number to write to another.
WITH k AS (SELECT CAST(? AS TEXT) AS msisdn, CAST(? AS TEXT) AS sender,
                  CAST(? AS BIGINT) AS since),
w AS (SELECT (SELECT min(a.account_id) FROM answerable AS a
              WHERE a.msisdn = k.msisdn AND a.sender = k.sender AND a.at >= k.since) AS lowest,
             (SELECT max(a.account_id) FROM answerable AS a
              WHERE a.msisdn = k.msisdn AND a.sender = k.sender AND a.at >= k.since) AS highest
      FROM k)
SELECT {[}f.message_id, f.at,
          (SELECT count(*) FROM events AS e
           WHERE e.message_id = f.message_id AND e.kind = 'feedback'
             AND e.actor LIKE 'provider:%'){]}
FROM (SELECT a.message_id, a.at FROM answerable AS a
      WHERE a.msisdn = (SELECT msisdn FROM k) AND a.sender = (SELECT sender FROM k)
        AND a.account_id = (SELECT lowest FROM w WHERE lowest = highest)
        AND a.at >= (SELECT since FROM k)
      ORDER BY a.at DESC LIMIT ?) AS f
