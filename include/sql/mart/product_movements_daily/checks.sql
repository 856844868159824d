-- grain: one check
-- source: staged, the rows that are about to replace those of mart.product_movements_daily
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.product_movements_daily',
    'period_start and product_id are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || CAST(product_id AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start, product_id FROM staged GROUP BY period_start, product_id HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.product_movements_daily',
    'units are the sum of core',
    'fail',
    COUNT(*),
    MIN(
        CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ': '
        || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)
    ),
    GETDATE()
FROM (SELECT period_start, SUM(restocked_units + returned_units + adjusted_units - sold_units) AS total FROM staged GROUP BY period_start) AS built
FULL JOIN (
    SELECT
        dates.day_start AS period_start,
        SUM(fact.stock_change) AS total
    FROM core.fact_product_event AS fact
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
    'mart.product_movements_daily',
    'no count is negative',
    'fail',
    COUNT(*),
    MIN(product_id),
    GETDATE()
FROM staged
WHERE restocked_units < 0 OR sold_units < 0 OR returned_units < 0
