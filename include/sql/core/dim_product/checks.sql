-- grain: one check
-- source: staged, the rows that are about to replace those of core.dim_product
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'core.dim_product',
    'feed and product_id are unique',
    'fail',
    COUNT(*),
    MIN(feed || ' ' || product_id),
    GETDATE()
FROM (SELECT feed, product_id FROM staged GROUP BY feed, product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'core.dim_product',
    'first seen is not after last seen',
    'fail',
    COUNT(*),
    MIN(product_id),
    GETDATE()
FROM staged
WHERE first_seen_at > last_seen_at
UNION ALL
SELECT
    :build_id,
    'core.dim_product',
    'a product that was sold has a description',
    'warn',
    COUNT(*),
    MIN(product_id),
    GETDATE()
FROM staged
WHERE description IS NULL
    AND EXISTS (
        SELECT 1
        FROM core.sales_line AS line
        WHERE line.line_type = 'sale'
            AND line.event_time >= :from_day
            AND line.event_time < :to_day
            AND line.feed = staged.feed
            AND line.stock_code = staged.product_id
    )
