-- grain: one purchase of one customer, one row per event_id
-- source: staging.purchases, from which the event ids that core has are already deleted
-- idempotent: what is in staging is not in core; a lower version was deleted before
-- re-run: inserts nothing
INSERT INTO core.fact_purchase (
    event_id,
    event_time,
    event_version,
    customer_key,
    age_group,
    gender,
    state,
    product_name,
    amount
)
SELECT
    source.event_id,
    source.event_time,
    source.event_version,
    source.customer_key,
    source.age_group,
    source.gender,
    source.state,
    source.product_name,
    source.amount
FROM staging.purchases AS source
