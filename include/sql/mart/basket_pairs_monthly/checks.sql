-- grain: one check
-- source: staged, the rows that are about to replace those of mart.basket_pairs_monthly
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.basket_pairs_monthly',
    'period_start, feed, stock_code_a and stock_code_b are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || stock_code_a || ' ' || stock_code_b),
    GETDATE()
FROM (SELECT period_start, feed, stock_code_a, stock_code_b FROM staged GROUP BY period_start, feed, stock_code_a, stock_code_b HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.basket_pairs_monthly',
    'a pair is on no more invoices than either product',
    'fail',
    COUNT(*),
    MIN(stock_code_a),
    GETDATE()
FROM staged
WHERE invoices_together > invoices_a OR invoices_together > invoices_b OR invoices_a > invoices
