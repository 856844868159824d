-- grain: one row: how many values of the feed other files replaced since a time
-- source: ops.replacement
-- idempotent: reads only
-- re-run: the same, and what was replaced since
SELECT COUNT(*) AS replaced_values
FROM ops.replacement
WHERE feed = :feed
    AND column_name = :column_name
    AND replaced_at >= CAST(:planned_at AS TIMESTAMP)
