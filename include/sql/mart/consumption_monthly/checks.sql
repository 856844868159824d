-- grain: one check
-- source: staged, the rows that are about to replace those of mart.consumption_monthly
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.consumption_monthly',
    'period_start and product_name and age_group and gender are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || CAST(product_name AS VARCHAR) || ' ' || CAST(age_group AS VARCHAR) || ' ' || CAST(gender AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start, product_name, age_group, gender FROM staged GROUP BY period_start, product_name, age_group, gender HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.consumption_monthly',
    'amount is the sum of core',
    'fail',
    COUNT(*),
    MIN(
        CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ': '
        || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)
    ),
    GETDATE()
FROM (SELECT period_start, SUM(amount) AS total FROM staged GROUP BY period_start) AS built
FULL JOIN (
    SELECT
        dates.month_start AS period_start,
        SUM(fact.amount) AS total
    FROM core.fact_purchase AS fact
    INNER JOIN core.dim_date AS dates ON CAST(fact.event_time AS DATE) = dates.date_day
    WHERE fact.event_time >= :from_day
        AND fact.event_time < :to_day
        AND dates.month_start IN (SELECT period_start FROM build_period)
    GROUP BY dates.month_start
) AS core ON built.period_start = core.period_start
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
