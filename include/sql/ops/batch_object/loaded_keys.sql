-- grain: one raw object that a committed batch has
-- source: ops.batch_object
-- idempotent: reads only
-- re-run: the same, and what was committed since
SELECT DISTINCT object_key
FROM ops.batch_object
WHERE feed = :feed
    AND object_key BETWEEN :first_key AND :last_key
