-- grain: one feed, currency and segment of customers
-- source: mart.customer_behaviour
-- idempotent: a view
-- re-run: defines the same view
-- measure average_recency_days: mean of recency_days over the customers of the segment
CREATE OR REPLACE VIEW mart.customer_segments AS
SELECT
    feed,
    currency,
    segment,
    COUNT(*) AS customers,
    CAST(SUM(net_revenue) AS DECIMAL(18, 3)) AS net_revenue,
    CAST(SUM(invoices) AS BIGINT) AS invoices,
    CAST(AVG(CAST(recency_days AS DECIMAL(18, 2))) AS DECIMAL(18, 2)) AS average_recency_days
FROM mart.customer_behaviour
GROUP BY feed, currency, segment
