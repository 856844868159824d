-- grain: one row: how many days changed, and from which day up to before which day their periods reach
-- source: build_date, build_period, core.dim_date
-- idempotent: reads only
-- re-run: the same
SELECT
    (SELECT COUNT(DISTINCT event_date) FROM build_date) AS days,
    MIN(dates.date_day) AS from_day,
    CAST(DATEADD(day, 1, MAX(dates.date_day)) AS DATE) AS to_day
FROM core.dim_date AS dates
INNER JOIN build_period ON dates.{period}_start = build_period.period_start
