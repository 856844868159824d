-- grain: one quarter, feed and currency with sales
-- source: mart.quarterly_revenue
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    period_start AS quarter_start,
    feed,
    currency,
    net_revenue,
    net_revenue_before,
    change,
    change_ratio
FROM mart.quarterly_revenue
