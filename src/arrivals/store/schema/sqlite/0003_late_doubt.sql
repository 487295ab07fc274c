-- Find messages that ended while one of their hand-offs was never answered.
-- A receipt that names no known id may still be about it, and revises the outcome.
CREATE INDEX messages_late_doubt ON messages (provider_id, msisdn)
  WHERE (reach = 1 AND state IN ('failed', 'unknown'))
     OR (resends > 0 AND state IN ('submitted', 'failed', 'filtered', 'expired', 'unknown'))
     OR (segments > 1 AND state IN ('failed', 'filtered', 'expired', 'unknown'));
