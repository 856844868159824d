-- grain: one day and known customer whose sales changed, by feed and currency; measures as in mart.sales_daily
-- source: core.sales_line
-- idempotent: computes the whole day from core
-- re-run: the same rows
INSERT INTO staged
SELECT
    line.sale_date,
    line.feed,
    line.currency,
    line.customer_id,
    COUNT(DISTINCT line.charged_invoice),
    SUM(line.units),
    SUM(line.gross_revenue),
    SUM(line.net_revenue)
FROM core.sales_line AS line
WHERE line.event_time >= :from_day
    AND line.event_time < :to_day
    AND line.sale_date IN (SELECT period_start FROM build_period)
    AND line.customer_id <> 'unknown'
GROUP BY line.sale_date, line.feed, line.currency, line.customer_id
