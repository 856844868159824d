-- grain: one of the ten countries with the most net revenue
-- source: mart.sales_by_country
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT country, SUM(net_revenue) AS net_revenue, SUM(invoices) AS invoices
FROM mart.sales_by_country
WHERE period_start >= :from_day
    AND period_start < :to_day
    AND currency = :currency
    AND (:feed = 'all' OR feed = :feed)
GROUP BY country
ORDER BY SUM(net_revenue) DESC, country
LIMIT 10
