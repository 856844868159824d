-- grain: one check
-- source: staged, the rows that are about to replace those of the mart
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    '{table}',
    'period_start, feed and currency are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || currency),
    GETDATE()
FROM (SELECT period_start, feed, currency FROM staged GROUP BY period_start, feed, currency HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    '{table}',
    'net_revenue is the sum of core',
    'fail',
    COUNT(*),
    MIN(
        CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ' ' || COALESCE(built.feed, core.feed) || ' '
        || COALESCE(built.currency, core.currency) || ': '
        || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)
    ),
    GETDATE()
FROM (
    SELECT period_start, feed, currency, SUM(net_revenue) AS total FROM staged GROUP BY period_start, feed, currency
) AS built
FULL JOIN (
    SELECT
        dates.{period}_start AS period_start,
        line.feed,
        line.currency,
        SUM(line.net_revenue) AS total
    FROM core.sales_line AS line
    INNER JOIN core.dim_date AS dates ON line.sale_date = dates.date_day
    WHERE line.event_time >= :from_day
        AND line.event_time < :to_day
        AND dates.{period}_start IN (SELECT period_start FROM build_period)
    GROUP BY dates.{period}_start, line.feed, line.currency
) AS core ON built.period_start = core.period_start AND built.feed = core.feed AND built.currency = core.currency
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
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
    'warn', -- a credit note may be corrected by a line above zero
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
    'warn', -- an invoice may have lines of several customers, or one customer under two spellings
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
