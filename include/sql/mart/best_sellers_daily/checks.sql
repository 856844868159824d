-- grain: one check
-- source: staged, the rows that are about to replace those of the mart
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    '{table}',
    'period_start, feed, currency and stock_code are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || currency || ' ' || stock_code),
    GETDATE()
FROM (SELECT period_start, feed, currency, stock_code FROM staged GROUP BY period_start, feed, currency, stock_code HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    '{table}',
    'every period has one first place',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM (
    SELECT period_start
    FROM staged
    GROUP BY period_start, feed, currency
    HAVING SUM(CASE WHEN revenue_rank = 1 THEN 1 ELSE 0 END) <> 1
) AS period
UNION ALL
SELECT
    :build_id,
    '{table}',
    'a rank is a place',
    'fail',
    COUNT(*),
    MIN(stock_code),
    GETDATE()
FROM staged
WHERE revenue_rank < 1 OR unit_rank < 1
