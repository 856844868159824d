-- grain: one line of an order or invoice, or an amount that an order has beside its lines: a fee, a discount, a refund
-- source: core.sale, which ecommerce_elt.feeds.sales makes of the contracts that play a sale
-- idempotent: a view
-- re-run: defines the same view
-- measure gross_revenue: what was charged, in the row's currency: amounts of sales and of fees such as postage, less discounts
-- measure cancelled_revenue: amounts of cancelled lines and refunds as a positive number (UCI data set 352: invoices that begin with C)
-- measure adjusted_revenue: amounts of adjustments, signed: bad debt (invoices that begin with A) and stock written off
-- measure net_revenue: gross_revenue - cancelled_revenue + adjusted_revenue, which is the sum of quantity x unit price where nothing is given on an order as a whole
-- measure units: pieces of products sold, less pieces cancelled; fees and adjustments move no piece
CREATE OR REPLACE VIEW core.sales_line AS
SELECT
    feed,
    currency,
    event_id,
    event_time,
    CAST(event_time AS DATE) AS sale_date,
    order_id AS invoice_no,
    product_id AS stock_code,
    product_name,
    customer_id,
    country,
    line_type,
    is_product,
    unit_price,
    CASE WHEN line_type IN ('sale', 'fee', 'discount') THEN amount ELSE 0 END AS gross_revenue,
    CASE
        WHEN line_type IN ('cancellation', 'refund') THEN -amount
        WHEN is_cancelled THEN amount
        ELSE 0
    END AS cancelled_revenue,
    CASE WHEN line_type = 'adjustment' THEN amount ELSE 0 END AS adjusted_revenue,
    CASE WHEN is_cancelled THEN 0 ELSE amount END AS net_revenue,
    CASE WHEN line_type IN ('sale', 'cancellation') AND is_product AND NOT is_cancelled THEN quantity ELSE 0 END AS units,
    -- What was cancelled before it had a price was never charged.
    CASE WHEN line_type IN ('sale', 'fee') AND (amount <> 0 OR NOT is_cancelled) THEN order_id END AS charged_invoice,
    CASE WHEN line_type IN ('cancellation', 'refund') OR is_cancelled THEN order_id END AS cancelled_invoice,
    CASE
        WHEN line_type IN ('sale', 'fee') AND (amount <> 0 OR NOT is_cancelled) AND customer_id <> 'unknown' THEN customer_id
    END AS buyer
FROM core.sale
