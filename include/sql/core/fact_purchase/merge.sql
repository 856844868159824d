-- grain: one purchase of one customer, one row per event_id
-- source: staging.purchases, from which the event ids that core has are already deleted
-- idempotent: an event id that is there keeps its row; one of a lower version was deleted before
-- re-run: inserts nothing
MERGE INTO core.fact_purchase
USING staging.purchases AS source
ON core.fact_purchase.event_id = source.event_id
WHEN MATCHED THEN UPDATE SET event_id = source.event_id
WHEN NOT MATCHED THEN INSERT (
    event_id,
    event_time,
    event_version,
    customer_key,
    age_group,
    gender,
    state,
    product_name,
    amount
) VALUES (
    source.event_id,
    source.event_time,
    source.event_version,
    source.customer_key,
    source.age_group,
    source.gender,
    source.state,
    source.product_name,
    source.amount
)
