-- grain: one of the products of a feed that sold best in a period in a currency
-- source: mart.best_sellers
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    period,
    period_start,
    feed,
    currency,
    season,
    revenue_rank,
    unit_rank,
    stock_code,
    description,
    units,
    net_revenue
FROM mart.best_sellers
