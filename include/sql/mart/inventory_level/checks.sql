-- grain: one check
-- source: staged, the rows that are about to replace those of mart.inventory_level
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.inventory_level',
    'product_id is unique',
    'fail',
    COUNT(*),
    MIN(CAST(product_id AS VARCHAR)),
    GETDATE()
FROM (SELECT product_id FROM staged GROUP BY product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.inventory_level',
    'status is an accepted value',
    'fail',
    COUNT(*),
    MIN(status),
    GETDATE()
FROM staged
WHERE status NOT IN ('out', 'low', 'idle', 'good')
UNION ALL
SELECT
    :build_id,
    'mart.inventory_level',
    'on_hand is not below zero',
    'warn',
    COUNT(*),
    MIN(product_id),
    GETDATE()
FROM staged
WHERE on_hand < 0
