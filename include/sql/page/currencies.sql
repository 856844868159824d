-- grain: one currency with sales in a range of days, the one with the most orders first
-- source: mart.sales_daily
-- idempotent: reads only
-- re-run: the same
SELECT currency, SUM(invoices) AS invoices
FROM mart.sales_daily
WHERE period_start >= :from_day
    AND period_start < :to_day
    AND (:feed = 'all' OR feed = :feed)
GROUP BY currency
ORDER BY SUM(invoices) DESC, currency
LIMIT 50
