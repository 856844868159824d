-- grain: one row per event of the batch
-- source: typed, the batch's events with the contract's columns typed and checked
-- idempotent: a pure function of the batch's events
-- re-run: the same rows
SELECT
    event_id,
    event_time,
    event_version,
    invoice_no,
    -- ASCII letters only: engines differ in what they take for the capital of others.
    CASE
        WHEN REGEXP_MATCHES(stock_code, '[a-z]')
            THEN TRANSLATE(stock_code, 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')
        ELSE stock_code
    END AS stock_code,
    description,
    quantity,
    unit_price,
    CAST(quantity * unit_price AS DECIMAL(18, 3)) AS amount,
    COALESCE(customer_id, 'unknown') AS customer_id,
    country,
    -- UCI data set 352: an invoice number that starts with C is a cancellation; A marks "Adjust bad debt".
    -- Codes without five leading digits are postage, fees, samples, vouchers and manual entries, not products.
    CASE
        WHEN invoice_no LIKE 'C%' OR invoice_no LIKE 'c%' THEN 'cancellation'
        WHEN invoice_no LIKE 'A%' OR invoice_no LIKE 'a%' OR quantity < 0 THEN 'adjustment'
        WHEN NOT REGEXP_MATCHES(stock_code, '^[0-9]{5}') THEN 'fee'
        ELSE 'sale'
    END AS line_type,
    unit_price = 0 AS is_zero_price,
    extra,
    source_object,
    source_line,
    reasons
FROM typed
