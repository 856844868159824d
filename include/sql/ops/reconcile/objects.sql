-- grain: one raw object of committed batches, as its first batch counted it
-- source: ops.batch_object. A replay, or a claim that woke up late, brings no new arrival
-- idempotent: reads only
-- re-run: the same, and what was loaded since
SELECT
    object_key,
    accepted,
    clean,
    quarantined,
    duplicates
FROM (
    SELECT
        object_key,
        accepted,
        clean,
        quarantined,
        duplicates,
        ROW_NUMBER() OVER (PARTITION BY object_key ORDER BY batch_id) AS arrival
    FROM ops.batch_object
    WHERE feed = :feed
        AND object_key BETWEEN :first_key AND :last_key
        AND batch_id NOT LIKE '%-replay'
) AS counted
WHERE arrival = 1
