-- grain: one raw object of one batch
-- source: ops.batch_object
-- idempotent: reads only
-- re-run: the same, and what was loaded since
SELECT batch_id, object_key
FROM ops.batch_object
WHERE feed = :feed
    AND object_key BETWEEN :first_key AND :last_key
