-- grain: one line of an invoice, one row per event_id
-- source: staging.online_retail, from which the event ids that core has are already deleted
-- idempotent: what is in staging is not in core; a lower version was deleted before
-- re-run: inserts nothing
INSERT INTO core.fact_invoice_line (
    event_id,
    event_time,
    event_version,
    invoice_no,
    stock_code,
    description,
    quantity,
    unit_price,
    amount,
    customer_id,
    country,
    line_type,
    is_zero_price,
    extra
)
SELECT
    source.event_id,
    source.event_time,
    source.event_version,
    source.invoice_no,
    source.stock_code,
    source.description,
    source.quantity,
    source.unit_price,
    source.amount,
    source.customer_id,
    source.country,
    source.line_type,
    source.is_zero_price,
    JSON_PARSE(source.extra)
FROM staging.online_retail AS source
