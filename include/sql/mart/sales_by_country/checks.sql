-- grain: one check
-- source: staged, the rows that are about to replace those of mart.sales_by_country
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.sales_by_country',
    'period_start and country are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || CAST(country AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start, country FROM staged GROUP BY period_start, country HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.sales_by_country',
    'net_revenue is the sum of core',
    'fail',
    COUNT(*),
    MIN(
        CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ': '
        || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)
    ),
    GETDATE()
FROM (SELECT period_start, SUM(net_revenue) AS total FROM staged GROUP BY period_start) AS built
FULL JOIN (
    SELECT
        dates.day_start AS period_start,
        SUM(fact.amount) AS total
    FROM core.fact_invoice_line AS fact
    INNER JOIN core.dim_date AS dates ON CAST(fact.event_time AS DATE) = dates.date_day
    WHERE fact.event_time >= :from_day
        AND fact.event_time < :to_day
        AND dates.day_start IN (SELECT period_start FROM build_period)
    GROUP BY dates.day_start
) AS core ON built.period_start = core.period_start
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
UNION ALL
SELECT
    :build_id,
    'mart.sales_by_country',
    'country is in core.dim_country',
    'fail',
    COUNT(*),
    MIN(country),
    GETDATE()
FROM staged
WHERE country NOT IN (SELECT country FROM core.dim_country)
    -- A batch that came after the dimension was built has marked it; the next run builds both.
    AND NOT EXISTS (SELECT 1 FROM ops.stale_date WHERE mart = 'core.dim_country')
