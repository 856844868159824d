-- grain: one reason of one rejected event of the batch
-- source: quarantine_staged
-- idempotent: the reasons of a batch are inserted once
-- re-run: inserts nothing
INSERT INTO ops.quarantine_reason (
    feed, event_id, event_version, batch_id, stage, event_time, column_name, rule, expected, source_object, source_line,
    quarantined_at
)
SELECT
    feed, event_id, event_version, batch_id, stage, event_time, column_name, rule, expected, source_object, source_line,
    GETDATE()
FROM quarantine_staged
WHERE batch_id NOT IN (SELECT batch_id FROM batch_committed)
