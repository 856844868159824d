-- grain: one reason of a batch's rejected events
-- source: ops.quarantine_reason
-- idempotent: reads only
-- re-run: the same
SELECT
    column_name,
    rule,
    MIN(expected) AS expected,
    COUNT(DISTINCT event_id) AS events
FROM ops.quarantine_reason
WHERE batch_id = :batch_id
GROUP BY column_name, rule
ORDER BY events DESC, column_name, rule
LIMIT 5
