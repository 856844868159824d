-- grain: one row: how many days changed, the first of them, and the day after the last
-- source: build_date
-- idempotent: reads only
-- re-run: the same
SELECT
    COUNT(DISTINCT event_date) AS days,
    MIN(event_date) AS from_day,
    CAST(DATEADD(day, 1, MAX(event_date)) AS DATE) AS to_day
FROM build_date
