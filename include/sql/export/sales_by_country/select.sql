-- grain: one day, feed, currency and country with sales
-- source: mart.sales_by_country, core.dim_country
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    sales.period_start AS sale_date,
    sales.feed,
    sales.currency,
    sales.country,
    country.iso_code,
    country.region,
    sales.gross_revenue,
    sales.cancelled_revenue,
    sales.net_revenue,
    sales.invoices,
    sales.units
FROM mart.sales_by_country AS sales
LEFT JOIN core.dim_country AS country ON sales.country = country.country
