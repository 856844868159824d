-- grain: one product movement that was loaded under the names of version 1
-- source: core.fact_product_event
-- idempotent: a row that has its new name is left alone
-- re-run: changes nothing. Loads that began earlier need staging to insert the old names; the deployment makes it again, with today's columns
DROP TABLE IF EXISTS staging.product_events;
UPDATE core.fact_product_event
SET
    movement = CASE movement WHEN 'sold' THEN 'sale' ELSE 'restock' END,
    units = ABS(quantity),
    stock_change = quantity
WHERE movement IN ('sold', 'restocked')
