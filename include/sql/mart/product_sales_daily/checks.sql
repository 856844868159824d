-- grain: one check
-- source: staged, the rows that are about to replace those of mart.product_sales_daily
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.product_sales_daily',
    'period_start, feed, currency and stock_code are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || feed || ' ' || currency || ' ' || stock_code),
    GETDATE()
FROM (SELECT period_start, feed, currency, stock_code FROM staged GROUP BY period_start, feed, currency, stock_code HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.product_sales_daily',
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
        dates.day_start AS period_start,
        line.feed,
        line.currency,
        SUM(line.net_revenue) AS total
    FROM core.sales_line AS line
    INNER JOIN core.dim_date AS dates ON line.sale_date = dates.date_day
    WHERE line.event_time >= :from_day
        AND line.event_time < :to_day
        AND dates.day_start IN (SELECT period_start FROM build_period)
        AND line.is_product
    GROUP BY dates.day_start, line.feed, line.currency
) AS core ON built.period_start = core.period_start AND built.feed = core.feed AND built.currency = core.currency
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
UNION ALL
SELECT
    :build_id,
    'mart.product_sales_daily',
    'product is in core.dim_product',
    'fail',
    COUNT(*),
    MIN(stock_code),
    GETDATE()
FROM staged
WHERE NOT EXISTS (
        SELECT 1
        FROM core.dim_product AS product
        WHERE product.feed = staged.feed AND product.product_id = staged.stock_code
    )
    -- A batch that came after the dimension was built has marked it; the next run builds both.
    AND NOT EXISTS (SELECT 1 FROM ops.stale_date WHERE mart IN ('mart.product_days', 'core.dim_product'))
