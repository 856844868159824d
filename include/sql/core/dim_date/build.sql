-- grain: one day that core.dim_date lacks: those of 2000 to 2049 at first, later only days of events outside of them
-- source: the calendar; build_date, the days whose events changed
-- idempotent: computed from the day alone
-- re-run: nothing is missing any more
INSERT INTO staged
WITH digit AS (
    SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4
    UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7 UNION ALL SELECT 8 UNION ALL SELECT 9
),
calendar AS (
    SELECT CAST(DATEADD(day, a.n * 10000 + b.n * 1000 + c.n * 100 + d.n * 10 + e.n, DATE '2000-01-01') AS DATE) AS date_day
    FROM digit AS a
    CROSS JOIN digit AS b
    CROSS JOIN digit AS c
    CROSS JOIN digit AS d
    CROSS JOIN digit AS e
    WHERE a.n < 2
),
wanted AS (
    SELECT date_day FROM calendar WHERE date_day < DATE '2050-01-01'
    UNION
    SELECT event_date FROM build_date
)
SELECT
    wanted.date_day,
    wanted.date_day,
    CAST(DATE_TRUNC('week', wanted.date_day) AS DATE), -- Monday, ISO 8601
    CAST(DATE_TRUNC('month', wanted.date_day) AS DATE),
    CAST(DATE_TRUNC('quarter', wanted.date_day) AS DATE),
    -- Meteorological seasons of the northern hemisphere (World Meteorological Organization): winter is December to February.
    CAST(DATEADD(month, -1, DATE_TRUNC('quarter', DATEADD(month, 1, wanted.date_day))) AS DATE),
    CAST(EXTRACT(year FROM wanted.date_day) AS INTEGER),
    CAST(EXTRACT(quarter FROM wanted.date_day) AS INTEGER),
    CAST(EXTRACT(month FROM wanted.date_day) AS INTEGER),
    CAST(DATEDIFF(day, DATE_TRUNC('week', wanted.date_day), wanted.date_day) AS INTEGER) + 1,
    DATEDIFF(day, DATE_TRUNC('week', wanted.date_day), wanted.date_day) >= 5,
    CASE
        WHEN EXTRACT(month FROM wanted.date_day) IN (12, 1, 2) THEN 'winter'
        WHEN EXTRACT(month FROM wanted.date_day) IN (3, 4, 5) THEN 'spring'
        WHEN EXTRACT(month FROM wanted.date_day) IN (6, 7, 8) THEN 'summer'
        ELSE 'autumn'
    END
FROM wanted
LEFT JOIN core.dim_date AS known ON wanted.date_day = known.date_day
WHERE known.date_day IS NULL
