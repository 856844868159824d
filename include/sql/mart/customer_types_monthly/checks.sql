-- grain: one check
-- source: staged, the rows that are about to replace those of mart.customer_types_monthly
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.customer_types_monthly',
    'period_start, feed, currency and customer_type are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || currency || ' ' || customer_type),
    GETDATE()
FROM (SELECT period_start, feed, currency, customer_type FROM staged GROUP BY period_start, feed, currency, customer_type HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.customer_types_monthly',
    'customer_type is an accepted value',
    'fail',
    COUNT(*),
    MIN(customer_type),
    GETDATE()
FROM staged
WHERE customer_type NOT IN ('first', 'repeat')
UNION ALL
SELECT
    :build_id,
    'mart.customer_types_monthly',
    'every customer is first once',
    'fail',
    ABS(built.customers - bought.customers),
    CAST(built.customers AS VARCHAR) || ' instead of ' || CAST(bought.customers AS VARCHAR),
    GETDATE()
FROM (SELECT COALESCE(SUM(customers), 0) AS customers FROM staged WHERE customer_type = 'first') AS built
CROSS JOIN (
    SELECT COUNT(*) AS customers
    FROM (SELECT DISTINCT feed, currency, customer_id FROM mart.customer_days WHERE invoices > 0) AS customer
) AS bought
