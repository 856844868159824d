-- grain: one row of core that this file brought after a newer file, which lacks it, had replaced its value
-- source: core_row, landed_row, newest, and what the loads say of the file's raw objects
-- idempotent: reads only
-- re-run: the same in the same session
SELECT core_row.*, newest.landed_at
FROM core_row
INNER JOIN newest ON core_row.{key} = newest.replaced_value
INNER JOIN landed_row ON core_row.event_id = landed_row.event_id
INNER JOIN ops.batch_object AS loaded ON landed_row.source_object = loaded.object_key
INNER JOIN ops.batch_audit AS audit ON loaded.batch_id = audit.batch_id
LEFT JOIN ops.known_event AS known
    ON loaded.batch_id = known.batch_id AND landed_row.event_id = known.event_id
WHERE newest.landed_at > CAST(:landed_at AS TIMESTAMP)
    AND audit.committed_at > newest.replaced_at
    AND known.event_id IS NULL
ORDER BY core_row.event_id
