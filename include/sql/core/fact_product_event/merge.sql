-- grain: one product movement, one row per event_id
-- source: staging.product_events, from which the event ids that core has are already deleted
-- idempotent: an event id that is there keeps its row; one of a lower version was deleted before
-- re-run: inserts nothing
MERGE INTO core.fact_product_event
USING staging.product_events AS source
ON core.fact_product_event.event_id = source.event_id
WHEN MATCHED THEN UPDATE SET event_id = source.event_id
WHEN NOT MATCHED THEN INSERT (
    event_id,
    event_time,
    event_version,
    product_id,
    quantity,
    price,
    movement,
    extra
) VALUES (
    source.event_id,
    source.event_time,
    source.event_version,
    source.product_id,
    source.quantity,
    source.price,
    source.movement,
    JSON_PARSE(source.extra)
)
