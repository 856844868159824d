-- grain: one rejected event that a person closes
-- source: ops.quarantine
-- idempotent: an event is closed once
-- re-run: what was rejected since
INSERT INTO ops.quarantine_closed (feed, event_id, event_version, state, batch_id, closed_at)
SELECT feed, event_id, event_version, 'dismissed', :run_id, GETDATE()
FROM ops.quarantine
WHERE state = 'open'
    AND (:feed = 'any' OR feed = :feed)
    AND (:batch_id = 'any' OR batch_id = :batch_id)
    AND first_seen_at >= CAST(:since AS TIMESTAMP)
    AND first_seen_at < CAST(:until AS TIMESTAMP)
    AND event_id IN (
        SELECT event_id
        FROM ops.quarantine_reason
        WHERE (:column_name = 'any' OR column_name = :column_name) AND (:rule = 'any' OR rule = :rule)
    )
