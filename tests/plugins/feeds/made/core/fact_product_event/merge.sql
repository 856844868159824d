-- grain: one product movement, one row per event_id
-- source: staging.product_events, from which the event ids that core has are already deleted
-- idempotent: what is in staging is not in core; a lower version was deleted before
-- re-run: inserts nothing
INSERT INTO core.fact_product_event (
    event_id,
    event_time,
    event_version,
    product_id,
    quantity,
    price,
    movement,
    units,
    stock_change,
    extra
)
SELECT
    source.event_id,
    source.event_time,
    source.event_version,
    source.product_id,
    source.quantity,
    source.price,
    source.movement,
    source.units,
    source.stock_change,
    JSON_PARSE(source.extra)
FROM staging.product_events AS source
