-- grain: one event that the batch takes out
-- source: withdrawn_staged, matched
-- idempotent: a version of an event is inserted once
-- re-run: after a commit inserts nothing, because matched has the version
INSERT INTO ops.withdrawal (feed, event_id, event_key, event_version, event_time, landed_at, batch_id, withdrawn_at)
SELECT
    batch.feed,
    staged.event_id,
    STRTOL(LEFT(MD5(staged.event_id), 12), 16),
    staged.event_version,
    staged.event_time,
    staged.landed_at,
    batch.batch_id,
    GETDATE()
FROM withdrawn_staged AS staged
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
LEFT JOIN matched ON staged.event_id = matched.event_id
WHERE matched.event_id IS NULL OR matched.event_version < staged.event_version
