-- grain: one rejected version of an event of the batch that core already has, in that version or a higher one
-- source: quarantine_staged, matched
-- idempotent: a version is closed once
-- re-run: inserts nothing
INSERT INTO ops.quarantine_closed (feed, event_id, event_version, state, batch_id, closed_at)
SELECT DISTINCT rejected.feed, rejected.event_id, rejected.event_version, 'replayed', rejected.batch_id, GETDATE()
FROM quarantine_staged AS rejected
INNER JOIN matched ON rejected.event_id = matched.event_id
LEFT JOIN ops.quarantine_closed AS closed
    ON rejected.feed = closed.feed AND rejected.event_id = closed.event_id
        AND rejected.event_version = closed.event_version
WHERE rejected.event_version <= matched.event_version
    AND closed.event_id IS NULL
