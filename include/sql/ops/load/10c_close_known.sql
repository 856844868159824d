-- grain: one rejected event of the batch whose good copy core already has
-- source: quarantine_staged and the feed's events in core
-- idempotent: an event is closed once
-- re-run: inserts nothing
INSERT INTO ops.quarantine_closed (feed, event_id, state, batch_id, closed_at)
SELECT DISTINCT rejected.feed, rejected.event_id, 'replayed', rejected.batch_id, GETDATE()
FROM quarantine_staged AS rejected
INNER JOIN {fact} AS fact ON rejected.event_id = fact.event_id
WHERE rejected.event_id NOT IN (SELECT event_id FROM ops.quarantine_closed)
