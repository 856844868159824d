-- grain: one feed, currency and number of invoices per customer
-- source: mart.customer_behaviour
-- idempotent: a view
-- re-run: defines the same view
CREATE OR REPLACE VIEW mart.purchase_frequency AS
SELECT
    feed,
    currency,
    invoices,
    COUNT(*) AS customers,
    CAST(SUM(net_revenue) AS DECIMAL(18, 3)) AS net_revenue
FROM mart.customer_behaviour
GROUP BY feed, currency, invoices
