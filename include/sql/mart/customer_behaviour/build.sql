-- grain: one known customer who bought at least once
-- source: mart.customer_days
-- idempotent: computes the whole; customers with equal values have equal scores
-- re-run: the same rows
-- measure first_purchase_date: first day with a sale or a fee
-- measure last_purchase_date: last day with a sale or a fee
-- measure cohort_month: month of first_purchase_date
-- measure purchase_days: days with a sale or a fee
-- measure is_repeat: bought on more than one day
-- measure recency_days: days from the last purchase to the last day with sales in the data of the feed
-- measure recency_score: 1 to 5, the fifth of the feed's customers in the currency that recency_days is in, 5 the most recent (Hughes, Strategic Database Marketing)
-- measure frequency_score: 1 to 5 by invoices, 5 the most frequent
-- measure monetary_score: 1 to 5 by net_revenue, 5 the highest
-- measure segment: the first that fits: champions (all scores from 4), loyal (recency and frequency from 3), recent (recency from 4), at_risk (frequency from 3), fading (recency 3), lost
-- measure days_between_purchases: days from first to last purchase / (purchase_days - 1)
INSERT INTO staged
WITH customer AS (
    SELECT
        feed,
        currency,
        customer_id,
        MIN(CASE WHEN invoices > 0 THEN period_start END) AS first_purchase_date,
        MAX(CASE WHEN invoices > 0 THEN period_start END) AS last_purchase_date,
        SUM(CASE WHEN invoices > 0 THEN 1 ELSE 0 END) AS purchase_days,
        SUM(invoices) AS invoices,
        SUM(units) AS units,
        SUM(net_revenue) AS net_revenue
    FROM mart.customer_days
    GROUP BY feed, currency, customer_id
    HAVING SUM(invoices) > 0
),
data AS (
    SELECT feed, MAX(period_start) AS last_date
    FROM mart.customer_days
    GROUP BY feed
),
placed AS (
    SELECT
        customer.*,
        DATEDIFF(day, customer.last_purchase_date, data.last_date) AS recency_days,
        RANK() OVER (PARTITION BY customer.feed, customer.currency ORDER BY customer.last_purchase_date) - 1 AS less_recent,
        RANK() OVER (PARTITION BY customer.feed, customer.currency ORDER BY customer.invoices) - 1 AS less_frequent,
        RANK() OVER (PARTITION BY customer.feed, customer.currency ORDER BY customer.net_revenue) - 1 AS poorer,
        COUNT(*) OVER (PARTITION BY customer.feed, customer.currency) AS customers
    FROM customer
    INNER JOIN data ON customer.feed = data.feed
),
scored AS (
    SELECT
        *,
        1 + (less_recent * 5) / customers AS recency_score,
        1 + (less_frequent * 5) / customers AS frequency_score,
        1 + (poorer * 5) / customers AS monetary_score
    FROM placed
)
SELECT
    feed,
    currency,
    customer_id,
    first_purchase_date,
    last_purchase_date,
    CAST(DATE_TRUNC('month', first_purchase_date) AS DATE),
    purchase_days,
    invoices,
    units,
    net_revenue,
    purchase_days > 1,
    CAST(
        CAST(DATEDIFF(day, first_purchase_date, last_purchase_date) AS DECIMAL(18, 2)) / NULLIF(purchase_days - 1, 0)
        AS DECIMAL(18, 2)
    ),
    recency_days,
    recency_score,
    frequency_score,
    monetary_score,
    CASE
        WHEN recency_score >= 4 AND frequency_score >= 4 AND monetary_score >= 4 THEN 'champions'
        WHEN recency_score >= 3 AND frequency_score >= 3 THEN 'loyal'
        WHEN recency_score >= 4 THEN 'recent'
        WHEN frequency_score >= 3 THEN 'at_risk'
        WHEN recency_score = 3 THEN 'fading'
        ELSE 'lost'
    END
FROM scored
