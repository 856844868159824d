-- grain: one of the products of a feed that sold best in a period in a currency; period says day, month, quarter or season
-- source: mart.best_sellers_daily, _monthly, _quarterly, _seasonal, core.dim_product, core.dim_date
-- idempotent: a view
-- re-run: defines the same view
CREATE OR REPLACE VIEW mart.best_sellers AS
SELECT
    seller.period,
    seller.period_start,
    seller.feed,
    seller.currency,
    CASE WHEN seller.period = 'season' THEN dates.season END AS season,
    seller.revenue_rank,
    seller.unit_rank,
    seller.stock_code,
    product.description,
    seller.units,
    seller.net_revenue
FROM (
    SELECT 'day' AS period, daily.* FROM mart.best_sellers_daily AS daily
    UNION ALL
    SELECT 'month' AS period, monthly.* FROM mart.best_sellers_monthly AS monthly
    UNION ALL
    SELECT 'quarter' AS period, quarterly.* FROM mart.best_sellers_quarterly AS quarterly
    UNION ALL
    SELECT 'season' AS period, seasonal.* FROM mart.best_sellers_seasonal AS seasonal
) AS seller
INNER JOIN core.dim_date AS dates ON seller.period_start = dates.date_day
LEFT JOIN core.dim_product AS product ON seller.feed = product.feed AND seller.stock_code = product.product_id
