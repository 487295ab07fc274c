Statements of the writing transaction that both databases understand.

-- name: handed_off_at
SELECT {[}message_id, at{]}
FROM (SELECT e.message_id, min(e.at) AS at
      FROM (SELECT CAST(value AS BIGINT) AS id FROM {values}) AS k
      JOIN events AS e ON e.message_id = k.id
      WHERE e.kind = 'taken' GROUP BY e.message_id) AS t

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
ON CONFLICT DO NOTHING

-- name: change_alarm
-- An ended one stays as it is; another process may have ended it a moment ago.
UPDATE alarms SET cell = ?, began_at = ?, seen_at = ?, ended_at = ?, trouble = ?
WHERE id = ? AND ended_at IS NULL

-- name: forget_alarms
DELETE FROM alarms WHERE ended_at IS NOT NULL AND id <= (SELECT max(id) FROM alarms) - ?
