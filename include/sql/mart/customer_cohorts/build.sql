-- grain: one month of first purchase in a feed and currency, and one number of months since in which one of its customers bought
-- source: mart.customer_days
-- idempotent: computes the whole
-- re-run: the same rows
-- measure months_since_first: months from cohort_month to the month of the purchases
-- measure cohort_customers: customers whose first purchase was in cohort_month
-- measure retention: customers of the cohort who bought in the month / cohort_customers
INSERT INTO staged
WITH purchase AS (
    SELECT feed, currency, customer_id, CAST(DATE_TRUNC('month', period_start) AS DATE) AS month_start, net_revenue
    FROM mart.customer_days
    WHERE invoices > 0
),
customer AS (
    SELECT feed, currency, customer_id, MIN(month_start) AS cohort_month
    FROM purchase
    GROUP BY feed, currency, customer_id
),
cohort AS (
    SELECT cohort_month, feed, currency, COUNT(*) AS cohort_customers
    FROM customer
    GROUP BY cohort_month, feed, currency
),
active AS (
    SELECT
        customer.cohort_month,
        customer.feed,
        customer.currency,
        DATEDIFF(month, customer.cohort_month, purchase.month_start) AS months_since_first,
        COUNT(DISTINCT purchase.customer_id) AS customers,
        SUM(purchase.net_revenue) AS net_revenue
    FROM purchase
    INNER JOIN customer
        ON purchase.feed = customer.feed
        AND purchase.currency = customer.currency
        AND purchase.customer_id = customer.customer_id
    GROUP BY customer.cohort_month, customer.feed, customer.currency, DATEDIFF(month, customer.cohort_month, purchase.month_start)
)
SELECT
    active.cohort_month,
    active.feed,
    active.currency,
    active.months_since_first,
    cohort.cohort_customers,
    active.customers,
    CAST(CAST(active.customers AS DECIMAL(18, 4)) / cohort.cohort_customers AS DECIMAL(18, 4)),
    active.net_revenue
FROM active
INNER JOIN cohort
    ON active.cohort_month = cohort.cohort_month
    AND active.feed = cohort.feed
    AND active.currency = cohort.currency
