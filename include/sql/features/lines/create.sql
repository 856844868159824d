-- grain: one line of an order, as in core.sales_line
-- source: core.sales_line, all of it in one statement, so that every row of a version is of one moment
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
CREATE TEMPORARY TABLE feature_line AS
SELECT
    feed,
    currency,
    event_id,
    event_time,
    sale_date,
    CAST(DATE_TRUNC('week', event_time) AS DATE) AS week_start,
    stock_code,
    is_product,
    CASE WHEN customer_id <> 'unknown' THEN customer_id END AS customer_id,
    country,
    charged_invoice,
    cancelled_invoice,
    gross_revenue,
    cancelled_revenue,
    net_revenue,
    units,
    CASE WHEN line_type = 'sale' THEN units ELSE 0 END AS sold_units,
    CASE WHEN line_type = 'cancellation' THEN -units ELSE 0 END AS returned_units
FROM core.sales_line
