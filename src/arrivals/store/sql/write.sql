Statements of the writing transaction that both databases understand.

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
