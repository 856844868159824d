-- grain: one day and product of a feed that was asked for
-- source: mart.product_movements_daily, mart.product_sales_daily
-- idempotent: a view
-- re-run: defines the same view
-- measure demand_units: pieces asked for: sold_units of movements, units of sales in all currencies; a day on which more was cancelled than sold has none
-- measure demand_revenue: what they brought: sold_amount, or gross_revenue in the currency that brought most on the day
CREATE OR REPLACE VIEW mart.product_demand_daily AS
SELECT
    period_start,
    'product_events' AS feed,
    product_id,
    sold_units AS demand_units,
    CAST(sold_amount AS DECIMAL(18, 3)) AS demand_revenue
FROM mart.product_movements_daily
WHERE sold_units > 0
UNION ALL
SELECT
    period_start,
    feed,
    stock_code,
    CAST(SUM(units) AS BIGINT),
    MAX(gross_revenue)
FROM mart.product_sales_daily
WHERE gross_revenue > 0 -- lines without a price are corrections of the stock, and gifts
GROUP BY period_start, feed, stock_code
HAVING SUM(units) > 0
