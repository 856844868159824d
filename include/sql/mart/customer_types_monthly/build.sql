-- grain: one month, feed, currency and customer type
-- source: mart.customer_days
-- idempotent: computes the whole
-- re-run: the same rows
-- measure customer_type: first on the day of the customer's first purchase, repeat on every later day
INSERT INTO staged
WITH customer AS (
    SELECT feed, currency, customer_id, MIN(period_start) AS first_purchase_date
    FROM mart.customer_days
    WHERE invoices > 0
    GROUP BY feed, currency, customer_id
),
typed AS (
    SELECT
        CAST(DATE_TRUNC('month', days.period_start) AS DATE) AS period_start,
        CASE WHEN days.period_start = customer.first_purchase_date THEN 'first' ELSE 'repeat' END AS customer_type,
        days.feed,
        days.currency,
        days.customer_id,
        days.invoices,
        days.net_revenue
    FROM mart.customer_days AS days
    INNER JOIN customer
        ON days.feed = customer.feed
        AND days.currency = customer.currency
        AND days.customer_id = customer.customer_id
    WHERE days.invoices > 0
)
SELECT
    period_start,
    feed,
    currency,
    customer_type,
    COUNT(DISTINCT customer_id),
    SUM(invoices),
    SUM(net_revenue)
FROM typed
GROUP BY period_start, feed, currency, customer_type
