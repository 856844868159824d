-- grain: one row of core that an event of the batch replaces, or that the batch takes out
-- source: replaced, staging, withdrawn_staged
-- idempotent: the corrections of a batch are inserted once, before its objects
-- re-run: after a commit inserts nothing. The lake takes all these rows out of its lists
INSERT INTO ops.correction (batch_id, feed, event_id, event_version, replaced_version, replaced_time, corrected_at)
SELECT
    batch.batch_id,
    batch.feed,
    staged.event_id,
    staged.event_version,
    replaced.event_version,
    replaced.event_time,
    GETDATE()
FROM replaced
INNER JOIN (
    SELECT event_id, event_version
    FROM {staging}
    UNION ALL
    SELECT event_id, event_version
    FROM withdrawn_staged
) AS staged ON replaced.event_id = staged.event_id
CROSS JOIN (SELECT DISTINCT batch_id, feed FROM batch_object_staged) AS batch
WHERE batch.batch_id NOT IN (SELECT batch_id FROM batch_committed)
