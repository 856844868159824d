-- grain: one day and product whose sales changed, by feed and currency; measures as in mart.sales_daily
-- source: core.sales_line
-- idempotent: computes the whole day from core
-- re-run: the same rows
INSERT INTO staged
SELECT
    line.sale_date,
    line.feed,
    line.currency,
    line.stock_code,
    SUM(line.units),
    SUM(line.gross_revenue),
    SUM(line.net_revenue),
    COUNT(DISTINCT line.charged_invoice)
FROM core.sales_line AS line
WHERE line.event_time >= :from_day
    AND line.event_time < :to_day
    AND line.sale_date IN (SELECT period_start FROM build_period)
    AND line.is_product
GROUP BY line.sale_date, line.feed, line.currency, line.stock_code
