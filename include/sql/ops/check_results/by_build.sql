-- grain: one check
-- source: ops.check_results
-- idempotent: reads only
-- re-run: the same rows
SELECT check_name, severity, failed_rows, detail
FROM ops.check_results
WHERE build_id = :build_id AND mart = :mart
ORDER BY severity, check_name
