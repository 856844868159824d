-- grain: one row: the day from which on every feed has sales in a currency
-- source: mart.sales_daily
-- idempotent: reads only
-- re-run: the same
SELECT MAX(first_day) AS sales_from
FROM (
    SELECT feed, MIN(period_start) AS first_day
    FROM mart.sales_daily
    WHERE currency = :currency AND (:feed = 'all' OR feed = :feed)
    GROUP BY feed
) AS feeds
