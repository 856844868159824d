-- grain: one period (day, week, month or quarter), feed and currency whose sales changed; sales_weekly and so on use this file too
-- source: core.sales_line
-- idempotent: computes the whole period from core
-- re-run: the same rows
-- measure invoices: different invoices or orders with a sale or a fee; cancellations of online_retail have numbers of their own
-- measure cancellations: different cancellation invoices, and orders that were cancelled or partly paid back
-- measure customers: different known customers who bought: with a sale or a fee on an invoice or order, or with a purchase of the feed purchases
-- measure average_basket: gross_revenue / invoices, the average order value before cancellations
INSERT INTO staged
SELECT
    dates.{period}_start,
    line.feed,
    line.currency,
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
INNER JOIN core.dim_date AS dates ON line.sale_date = dates.date_day
WHERE line.event_time >= :from_day
    AND line.event_time < :to_day
    AND dates.{period}_start IN (SELECT period_start FROM build_period)
GROUP BY dates.{period}_start, line.feed, line.currency
