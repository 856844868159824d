-- grain: one row: how many marts there are, how many are behind core, how many checks the last builds ran
-- source: ops.mart_build, ops.stale_date, ops.check_results
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    (SELECT COUNT(*) FROM ops.mart_build WHERE published_at IS NOT NULL) AS marts,
    (SELECT COUNT(DISTINCT mart) FROM ops.stale_date WHERE mart NOT LIKE 'bigquery.%') AS behind,
    (SELECT MAX(published_at) FROM ops.mart_build) AS published_at,
    (
        SELECT COUNT(*)
        FROM ops.check_results AS results
        INNER JOIN ops.mart_build AS build ON results.mart = build.mart AND results.build_id = build.build_id
    ) AS checks
