-- grain: one event of the batch that core already has, in this version or a higher one
-- source: staging, matched
-- idempotent: the events of a batch are inserted once, before its objects
-- re-run: after a commit inserts nothing
INSERT INTO ops.known_event (batch_id, event_id)
SELECT batch.batch_id, staged.event_id
FROM {staging} AS staged
INNER JOIN matched ON staged.event_id = matched.event_id
CROSS JOIN (SELECT DISTINCT batch_id FROM batch_object_staged) AS batch
WHERE matched.event_version >= staged.event_version
    AND batch.batch_id NOT IN (SELECT batch_id FROM batch_committed)
