-- grain: one raw object of committed batches
-- source: ops.batch_object, replays left out: their events were counted when they arrived
-- idempotent: reads only
-- re-run: the same, and what was loaded since
SELECT
    object_key,
    SUM(accepted) AS accepted,
    SUM(clean) AS clean,
    SUM(quarantined) AS quarantined,
    SUM(duplicates) AS duplicates
FROM ops.batch_object
WHERE feed = :feed
    AND object_key BETWEEN :first_key AND :last_key
    AND batch_id NOT LIKE '%-replay'
GROUP BY object_key
