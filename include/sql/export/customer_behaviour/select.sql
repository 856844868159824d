-- grain: one known customer of a feed who bought at least once in a currency
-- source: mart.customer_behaviour
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    feed,
    currency,
    customer_id,
    segment,
    cohort_month,
    first_purchase_date,
    last_purchase_date,
    CASE WHEN is_repeat THEN 'repeat' ELSE 'once' END AS customer_type,
    purchase_days,
    invoices,
    units,
    net_revenue,
    days_between_purchases,
    recency_days,
    recency_score,
    frequency_score,
    monetary_score
FROM mart.customer_behaviour
