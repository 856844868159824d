-- grain: one version of an event that was rejected before, and is clean now in that version or a higher one
-- source: staging, from which the events that core has are already deleted
-- idempotent: a version is closed once
-- re-run: after a commit staging is empty, so nothing
INSERT INTO ops.quarantine_closed (feed, event_id, event_version, state, batch_id, closed_at)
SELECT DISTINCT reason.feed, reason.event_id, reason.event_version, 'replayed', batch.batch_id, GETDATE()
FROM {staging} AS staged
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
INNER JOIN ops.quarantine_reason AS reason
    ON staged.event_id = reason.event_id AND batch.feed = reason.feed
LEFT JOIN ops.quarantine_closed AS closed
    ON reason.feed = closed.feed AND reason.event_id = closed.event_id AND reason.event_version = closed.event_version
WHERE reason.event_version <= staged.event_version
    AND closed.event_id IS NULL
