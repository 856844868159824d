-- grain: one check
-- source: staged, the rows that are about to replace those of the mart
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    '{table}',
    'period_start is unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start FROM staged GROUP BY period_start HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    '{table}',
    'net_revenue is the sum of core',
    'fail',
    CAST(ABS(COALESCE(built.total, 0) - COALESCE(core.total, 0)) * 1000 AS BIGINT),
    CAST(built.total AS VARCHAR) || ' instead of ' || CAST(core.total AS VARCHAR),
    GETDATE()
FROM (SELECT SUM(net_revenue) AS total FROM staged) AS built
CROSS JOIN (
    SELECT SUM(fact.amount) AS total
    FROM core.fact_invoice_line AS fact
    INNER JOIN core.dim_date AS dates ON CAST(fact.event_time AS DATE) = dates.date_day
    WHERE fact.event_time >= :from_day
        AND fact.event_time < :to_day
        AND dates.{period}_start IN (SELECT period_start FROM build_period)
) AS core
UNION ALL
SELECT
    :build_id,
    '{table}',
    'net = gross - cancelled + adjusted',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM staged
WHERE net_revenue <> gross_revenue - cancelled_revenue + adjusted_revenue
UNION ALL
SELECT
    :build_id,
    '{table}',
    'cancelled_revenue is not negative',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM staged
WHERE cancelled_revenue < 0
UNION ALL
SELECT
    :build_id,
    '{table}',
    'not more customers than invoices',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM staged
WHERE customers > invoices
UNION ALL
SELECT
    :build_id,
    '{table}',
    'no period begins in the future',
    'warn',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR)),
    GETDATE()
FROM staged
WHERE period_start > GETDATE()
