-- grain: one of the ten products with the most net revenue
-- source: mart.product_sales_daily, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT sales.feed, sales.stock_code, product.description, SUM(sales.net_revenue) AS net_revenue, SUM(sales.units) AS units
FROM mart.product_sales_daily AS sales
LEFT JOIN core.dim_product AS product ON sales.feed = product.feed AND sales.stock_code = product.product_id
WHERE sales.period_start >= :from_day
    AND sales.period_start < :to_day
    AND sales.currency = :currency
    AND (:feed = 'all' OR sales.feed = :feed)
GROUP BY sales.feed, sales.stock_code, product.description
ORDER BY SUM(sales.net_revenue) DESC, sales.feed, sales.stock_code
LIMIT 10
