The newest run of the checks, and what the next one goes on from.

-- name: last_run
SELECT run, kind, began_at, ended_at, full_at, checks, looked_at, violations, found FROM verified

-- name: progress
SELECT progress FROM verified

-- name: note_run
INSERT INTO verified VALUES (1, :run, :kind, :began_at_us, :ended_at_us, :full_at_us, :checks,
                             :looked_at, :violations, :found, :progress)
ON CONFLICT (id) DO UPDATE
SET run = excluded.run, kind = excluded.kind, began_at = excluded.began_at,
    ended_at = excluded.ended_at, full_at = excluded.full_at, checks = excluded.checks,
    looked_at = excluded.looked_at, violations = excluded.violations, found = excluded.found,
    progress = excluded.progress
WHERE verified.run = excluded.run - 1
RETURNING run
