-- grain: one row: the sales of the days in one currency
-- source: mart.sales_daily, mart.customer_days
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    SUM(sales.net_revenue) AS net_revenue,
    SUM(sales.gross_revenue) AS gross_revenue,
    SUM(sales.invoices) AS invoices,
    SUM(sales.units) AS units,
    (
        SELECT COUNT(*)
        FROM (
            SELECT DISTINCT feed, customer_id
            FROM mart.customer_days
            WHERE period_start >= :from_day
                AND period_start < :to_day
                AND invoices > 0
                AND currency = :currency
                AND (:feed = 'all' OR feed = :feed)
        ) AS customer
    ) AS customers
FROM mart.sales_daily AS sales
WHERE sales.period_start >= :from_day
    AND sales.period_start < :to_day
    AND sales.currency = :currency
    AND (:feed = 'all' OR sales.feed = :feed)
