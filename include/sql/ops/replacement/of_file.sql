-- grain: one row: what a landed file replaced, over all runs
-- source: ops.replacement
-- idempotent: reads only
-- re-run: the same, and what was replaced since
SELECT
    COUNT(*) AS replaced_values,
    COALESCE(SUM(CASE WHEN withdrawn + restored > 0 THEN 1 ELSE 0 END), 0) AS changed,
    COALESCE(SUM(withdrawn), 0) AS rows_withdrawn,
    COALESCE(SUM(restored), 0) AS rows_restored
FROM ops.replacement
WHERE feed = :feed
    AND column_name = :column_name
    AND landed_at = CAST(:landed_at AS TIMESTAMP)
    AND file_key = :file_key
    AND etag = :etag
