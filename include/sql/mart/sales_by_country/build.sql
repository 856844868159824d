-- grain: one day and country whose sales changed, by feed and currency; measures as in mart.sales_daily
-- source: core.sales_line
-- idempotent: computes the whole day from core
-- re-run: the same rows
INSERT INTO staged
SELECT
    line.sale_date,
    line.feed,
    line.currency,
    line.country,
    SUM(line.gross_revenue),
    SUM(line.cancelled_revenue),
    SUM(line.adjusted_revenue),
    SUM(line.net_revenue),
    COUNT(DISTINCT line.charged_invoice),
    COUNT(DISTINCT line.cancelled_invoice),
    COUNT(DISTINCT line.buyer),
    SUM(line.units),
    CAST(SUM(line.gross_revenue) / NULLIF(COUNT(DISTINCT line.charged_invoice), 0) AS DECIMAL(18, 2))
FROM core.sales_line AS line
WHERE line.event_time >= :from_day
    AND line.event_time < :to_day
    AND line.sale_date IN (SELECT period_start FROM build_period)
GROUP BY line.sale_date, line.feed, line.currency, line.country
