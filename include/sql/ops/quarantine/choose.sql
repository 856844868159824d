-- grain: one rejected event that is open, where its record lies
-- source: ops.quarantine
-- idempotent: reads only
-- re-run: what is still open
SELECT feed, source_object, source_line
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
ORDER BY feed, source_object, source_line
