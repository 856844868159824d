-- grain: one check
-- source: staged, the rows that are about to replace those of core.dim_date
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'core.dim_date',
    'date_day is unique',
    'fail',
    COUNT(*),
    MIN(CAST(date_day AS VARCHAR)),
    GETDATE()
FROM (SELECT date_day FROM staged GROUP BY date_day HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'core.dim_date',
    'every period begins on or before its day',
    'fail',
    COUNT(*),
    MIN(CAST(date_day AS VARCHAR)),
    GETDATE()
FROM staged
WHERE week_start > date_day OR month_start > date_day OR quarter_start > date_day OR season_start > date_day
UNION ALL
SELECT
    :build_id,
    'core.dim_date',
    'season is an accepted value',
    'fail',
    COUNT(*),
    MIN(season),
    GETDATE()
FROM staged
WHERE season NOT IN ('winter', 'spring', 'summer', 'autumn')
