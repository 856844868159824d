-- grain: one check
-- source: staged, the rows that are about to replace those of mart.product_days
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.product_days',
    'period_start, feed and product_id are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || product_id),
    GETDATE()
FROM (SELECT period_start, feed, product_id FROM staged GROUP BY period_start, feed, product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.product_days',
    'what is seen is seen on its day',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || product_id),
    GETDATE()
FROM staged
WHERE first_seen_at > last_seen_at
    OR CAST(first_seen_at AS DATE) <> period_start
    OR CAST(last_seen_at AS DATE) <> period_start
