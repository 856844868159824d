-- grain: one check
-- source: ops.check_results
-- idempotent: reads only
-- re-run: the same rows
SELECT check_name, severity, failed_rows, detail
FROM ops.check_results
WHERE build_id = :build_id
    AND mart = :mart
    AND checked_at >= DATEADD(day, -1, GETDATE()) -- the sort key; the build checked moments ago
ORDER BY severity, check_name
