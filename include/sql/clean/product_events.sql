-- grain: one row per event of the batch
-- source: typed, the batch's events with the contract's columns typed and checked
-- idempotent: a pure function of the batch's events
-- re-run: the same rows
SELECT
    event_id,
    event_time,
    event_version,
    product_id,
    quantity,
    price,
    CASE WHEN quantity < 0 THEN 'sold' ELSE 'restocked' END AS movement,
    extra,
    source_object,
    source_line,
    reasons
FROM typed
