-- grain: one month of first purchase in a feed and currency, and one number of months since
-- source: mart.customer_cohorts
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    cohort_month,
    feed,
    currency,
    months_since_first,
    cohort_customers,
    customers,
    retention,
    net_revenue
FROM mart.customer_cohorts
