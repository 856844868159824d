-- grain: one of the 20 products of a feed in a period (day, month, quarter or season) and currency with the most revenue, or the most units
-- source: mart.product_sales_daily
-- idempotent: computes the whole period; equal products are ordered by their code
-- re-run: the same rows
-- measure revenue_rank: place by net_revenue in the period, feed and currency, 1 is the best seller
-- measure unit_rank: place by units in the period, feed and currency
INSERT INTO staged
WITH product AS (
    SELECT
        dates.{period}_start AS period_start,
        sales.feed,
        sales.currency,
        sales.stock_code,
        SUM(sales.units) AS units,
        SUM(sales.net_revenue) AS net_revenue
    FROM mart.product_sales_daily AS sales
    INNER JOIN core.dim_date AS dates ON sales.period_start = dates.date_day
    WHERE sales.period_start >= :from_day
        AND sales.period_start < :to_day
        AND dates.{period}_start IN (SELECT period_start FROM build_period)
    GROUP BY dates.{period}_start, sales.feed, sales.currency, sales.stock_code
),
ranked AS (
    SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY period_start, feed, currency ORDER BY net_revenue DESC, stock_code) AS revenue_rank,
        ROW_NUMBER() OVER (PARTITION BY period_start, feed, currency ORDER BY units DESC, stock_code) AS unit_rank
    FROM product
)
SELECT
    period_start,
    feed,
    currency,
    revenue_rank,
    unit_rank,
    stock_code,
    units,
    net_revenue
FROM ranked
WHERE revenue_rank <= 20 OR unit_rank <= 20
