-- grain: one check
-- source: staged, the rows that are about to replace those of mart.customer_behaviour
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.customer_behaviour',
    'feed, currency and customer_id are unique',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || currency || ' ' || customer_id),
    GETDATE()
FROM (SELECT feed, currency, customer_id FROM staged GROUP BY feed, currency, customer_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.customer_behaviour',
    'scores are 1 to 5',
    'fail',
    COUNT(*),
    MIN(customer_id),
    GETDATE()
FROM staged
WHERE recency_score NOT BETWEEN 1
    AND 5
    OR frequency_score NOT BETWEEN 1 AND 5
    OR monetary_score NOT BETWEEN 1 AND 5
UNION ALL
SELECT
    :build_id,
    'mart.customer_behaviour',
    'segment is an accepted value',
    'fail',
    COUNT(*),
    MIN(segment),
    GETDATE()
FROM staged
WHERE segment NOT IN ('champions', 'loyal', 'recent', 'at_risk', 'fading', 'lost')
UNION ALL
SELECT
    :build_id,
    'mart.customer_behaviour',
    'first purchase is not after the last',
    'fail',
    COUNT(*),
    MIN(customer_id),
    GETDATE()
FROM staged
WHERE first_purchase_date > last_purchase_date
UNION ALL
SELECT
    :build_id,
    'mart.customer_behaviour',
    'customers are those of customer_days',
    'fail',
    ABS(built.customers - bought.customers),
    CAST(built.customers AS VARCHAR) || ' instead of ' || CAST(bought.customers AS VARCHAR),
    GETDATE()
FROM (SELECT COUNT(*) AS customers FROM staged) AS built
CROSS JOIN (
    SELECT COUNT(*) AS customers
    FROM (SELECT DISTINCT feed, currency, customer_id FROM mart.customer_days WHERE invoices > 0) AS customer
) AS bought
