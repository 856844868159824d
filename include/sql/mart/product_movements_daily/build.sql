-- grain: one day and product whose movements changed
-- source: core.fact_product_event
-- idempotent: computes the whole day from core
-- re-run: the same rows
-- measure restocked_units: pieces put on the shelf, opening stock included
-- measure sold_units: pieces taken from the shelf, as a positive number
-- measure sold_amount: pieces taken from the shelf x price
INSERT INTO staged
SELECT
    CAST(event_time AS DATE),
    product_id,
    SUM(CASE WHEN movement = 'restocked' THEN quantity ELSE 0 END),
    SUM(CASE WHEN movement = 'sold' THEN -quantity ELSE 0 END),
    SUM(CASE WHEN movement = 'sold' THEN -quantity * price ELSE 0 END)
FROM core.fact_product_event
WHERE event_time >= :from_day
    AND event_time < :to_day
    AND CAST(event_time AS DATE) IN (SELECT period_start FROM build_period)
GROUP BY CAST(event_time AS DATE), product_id
