-- grain: one day, feed and currency with sales
-- source: mart.sales_daily, core.dim_date
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    sales.period_start AS sale_date,
    dates.week_start,
    dates.month_start,
    dates.quarter_start,
    dates.season,
    sales.feed,
    sales.currency,
    sales.gross_revenue,
    sales.cancelled_revenue,
    sales.adjusted_revenue,
    sales.net_revenue,
    sales.invoices,
    sales.cancellations,
    sales.customers,
    sales.units,
    sales.average_basket
FROM mart.sales_daily AS sales
INNER JOIN core.dim_date AS dates ON sales.period_start = dates.date_day
