-- grain: one row per event of the batch
-- source: typed, the batch's events with the contract's columns typed and checked
-- idempotent: a pure function of the batch's events
-- re-run: the same rows
WITH meant AS (
    SELECT
        *,
        -- Of the smallest number of 32 bits, which the contract rejects, there is no absolute value of 32 bits.
        TRY_CAST(ABS(CAST(quantity AS BIGINT)) AS INTEGER) AS units,
        CASE
            WHEN event_type IS NOT NULL THEN event_type
            -- Version 1 of the contract had no event_type: negative was sold, positive was put on the shelf.
            WHEN schema_version = 1 AND quantity < 0 THEN 'sale'
            WHEN schema_version = 1 THEN 'restock'
            WHEN quantity > 0 THEN 'sale'
            WHEN quantity < 0 THEN 'return'
            ELSE 'adjustment'
        END AS movement,
        -- One system writes what the stock loses, another what came back or went back: docs/adr/0035.
        quantity < 0 AND (event_type = 'restock' OR (event_type = 'sale' AND schema_version > 1)) AS is_open
    FROM typed
)
SELECT
    event_id,
    event_time,
    event_version,
    product_id,
    quantity,
    price,
    movement,
    units,
    CASE
        WHEN movement = 'sale' THEN -units
        WHEN movement = 'adjustment' THEN quantity
        ELSE units
    END AS stock_change,
    extra,
    source_object,
    source_line,
    CASE
        WHEN is_open THEN LIST_CONCAT(reasons, [{
            'column_name': 'quantity',
            'rule': 'sign',
            'expected': 'not below 0 with event_type sale or restock; goods that came back are a return, other losses an adjustment'
        }])
        ELSE reasons
    END AS reasons
FROM meant
