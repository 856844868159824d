-- grain: one event of the batch that core has under another id, or that a load of the batch before took for known
-- source: staging, skipped, ops.known_event
-- idempotent: what matched has is not added again
-- re-run: adds the same. From here on core has these events: they are duplicates, and neither core nor the lake gets them
INSERT INTO matched (event_id, event_version, event_time)
SELECT staged.event_id, staged.event_version, staged.event_time
FROM {staging} AS staged
LEFT JOIN matched ON staged.event_id = matched.event_id
WHERE matched.event_id IS NULL
    AND staged.event_id IN (
        SELECT event_id FROM skipped
        UNION
        SELECT event_id FROM ops.known_event WHERE batch_id IN (SELECT batch_id FROM batch_object_staged)
    )
