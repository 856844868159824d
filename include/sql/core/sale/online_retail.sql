-- grain: one line of an invoice
-- source: core.fact_invoice_line
-- idempotent: a part of the view core.sale
-- re-run: defines the same view
SELECT
    CAST('online_retail' AS VARCHAR(64)) AS feed,
    event_id,
    event_time,
    CAST(invoice_no AS VARCHAR(128)) AS order_id,
    CAST(stock_code AS VARCHAR(512)) AS product_id,
    CAST(description AS VARCHAR(1024)) AS product_name,
    CAST(customer_id AS VARCHAR(128)) AS customer_id,
    CAST(country AS VARCHAR(128)) AS country,
    CAST('GBP' AS VARCHAR(8)) AS currency,
    CAST(line_type AS VARCHAR(16)) AS line_type,
    FALSE AS is_cancelled,
    -- The rule of include/sql/clean/online_retail.sql: a product's code begins with five digits.
    stock_code ~ '^[0-9]{5}' AS is_product,
    CAST(quantity AS BIGINT) AS quantity,
    CAST(unit_price AS DECIMAL(18, 3)) AS unit_price,
    CAST(amount AS DECIMAL(18, 3)) AS amount
FROM core.fact_invoice_line
