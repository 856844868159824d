-- grain: one check
-- source: staged, the rows that are about to replace those of mart.reorder_level
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.reorder_level',
    'feed and product_id are unique',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM (SELECT feed, product_id FROM staged GROUP BY feed, product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.reorder_level',
    'no order is negative, and none fills above its level',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM staged
WHERE order_quantity < 0 OR order_quantity > order_up_to
UNION ALL
SELECT
    :build_id,
    'mart.reorder_level',
    'the forecast is at most three days old',
    'warn',
    COUNT(*),
    MIN('origin ' || CAST(needed.origin_date AS VARCHAR) || ', stock of ' || CAST(stock.as_of_date AS VARCHAR)),
    GETDATE()
FROM (SELECT DISTINCT origin_date FROM staged) AS needed
CROSS JOIN (SELECT MAX(as_of_date) AS as_of_date FROM mart.inventory_level) AS stock
WHERE DATEDIFF(day, needed.origin_date, stock.as_of_date) > 3
