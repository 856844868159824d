-- grain: one line of an invoice
-- source: core.fact_invoice_line
-- idempotent: a view
-- re-run: defines the same view
-- measure gross_revenue: what was charged, in pounds: amounts of sales and of fees such as postage
-- measure cancelled_revenue: amounts of cancelled lines as a positive number (UCI data set 352: invoices that begin with C)
-- measure adjusted_revenue: amounts of adjustments, signed: bad debt (invoices that begin with A) and stock written off
-- measure net_revenue: gross_revenue - cancelled_revenue + adjusted_revenue, which is the sum of quantity x unit price
-- measure units: pieces of products sold, less pieces cancelled; fees and adjustments move no piece
CREATE OR REPLACE VIEW core.sales_line AS
SELECT
    event_id,
    event_time,
    CAST(event_time AS DATE) AS sale_date,
    invoice_no,
    stock_code,
    customer_id,
    country,
    line_type,
    -- The rule of include/sql/clean/online_retail.sql: a product's code begins with five digits.
    stock_code ~ '^[0-9]{5}' AS is_product,
    CASE WHEN line_type IN ('sale', 'fee') THEN amount ELSE 0 END AS gross_revenue,
    CASE WHEN line_type = 'cancellation' THEN -amount ELSE 0 END AS cancelled_revenue,
    CASE WHEN line_type = 'adjustment' THEN amount ELSE 0 END AS adjusted_revenue,
    amount AS net_revenue,
    CASE
        WHEN line_type IN ('sale', 'cancellation') AND stock_code ~ '^[0-9]{5}' THEN quantity
        ELSE 0
    END AS units,
    CASE WHEN line_type IN ('sale', 'fee') THEN invoice_no END AS charged_invoice,
    CASE WHEN line_type = 'cancellation' THEN invoice_no END AS cancelled_invoice,
    CASE WHEN line_type IN ('sale', 'fee') AND customer_id <> 'unknown' THEN customer_id END AS buyer
FROM core.fact_invoice_line
