-- grain: one event that was rejected before, and is clean now
-- source: staging, from which the events that core has are already deleted
-- idempotent: an event is closed once
-- re-run: after a commit staging is empty, so nothing
INSERT INTO ops.quarantine_closed (feed, event_id, state, batch_id, closed_at)
SELECT DISTINCT reason.feed, reason.event_id, 'replayed', batch.batch_id, GETDATE()
FROM {staging} AS staged
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
INNER JOIN ops.quarantine_reason AS reason ON staged.event_id = reason.event_id AND batch.feed = reason.feed
WHERE staged.event_id NOT IN (SELECT event_id FROM ops.quarantine_closed)
