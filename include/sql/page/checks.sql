-- grain: one check that found rows in the last build of its mart
-- source: ops.check_results, ops.mart_build, ops.stale_date
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    results.mart,
    results.check_name,
    results.severity,
    results.failed_rows,
    results.detail,
    results.checked_at,
    build.published_at,
    waiting.days,
    waiting.first_day,
    waiting.last_day
FROM ops.check_results AS results
INNER JOIN ops.mart_build AS build ON results.mart = build.mart AND results.build_id = build.build_id
LEFT JOIN (
    SELECT
        mart,
        COUNT(DISTINCT event_date) AS days,
        MIN(event_date) AS first_day,
        MAX(event_date) AS last_day
    FROM ops.stale_date
    GROUP BY mart
) AS waiting ON results.mart = waiting.mart
WHERE results.failed_rows > 0
ORDER BY results.severity, results.mart, results.check_name
LIMIT 50
