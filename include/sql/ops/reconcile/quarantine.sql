-- grain: one raw object with rejected events
-- source: ops.quarantine_reason, replays left out
-- idempotent: reads only
-- re-run: the same, and what was loaded since
SELECT source_object, COUNT(DISTINCT source_line) AS quarantine_rows
FROM ops.quarantine_reason
WHERE feed = :feed
    AND source_object BETWEEN :first_key AND :last_key
    AND batch_id NOT LIKE '%-replay'
GROUP BY source_object
