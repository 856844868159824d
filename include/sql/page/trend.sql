-- grain: one day, week or month with invoice lines; of the first and the last one only the days that were asked for
-- source: mart.sales_daily, core.dim_date
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    dates.{period}_start AS period_start,
    SUM(sales.net_revenue) AS net_revenue
FROM mart.sales_daily AS sales
INNER JOIN core.dim_date AS dates ON sales.period_start = dates.date_day
WHERE sales.period_start >= :from_day
    AND sales.period_start < :to_day
    AND sales.currency = :currency
    AND (:feed = 'all' OR sales.feed = :feed)
GROUP BY dates.{period}_start
ORDER BY dates.{period}_start
LIMIT 1000
