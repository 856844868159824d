-- grain: one day and product whose movements changed
-- source: core.fact_product_event
-- idempotent: computes the whole day from core
-- re-run: the same rows
-- measure restocked_units: pieces put on the shelf, opening stock included
-- measure sold_units: pieces sold, as a positive number; returns are not taken off
-- measure sold_amount: pieces sold x price
-- measure returned_units: pieces that customers brought back, as a positive number
-- measure adjusted_units: pieces by which counts, damage and theft changed the stock, signed
-- measure stock_change: restocked_units + returned_units + adjusted_units - sold_units
-- measure returned_amount: pieces that customers brought back x price
INSERT INTO staged
SELECT
    CAST(event_time AS DATE),
    product_id,
    SUM(CASE WHEN movement = 'restock' THEN units ELSE 0 END),
    SUM(CASE WHEN movement = 'sale' THEN units ELSE 0 END),
    SUM(CASE WHEN movement = 'sale' THEN units * price ELSE 0 END),
    SUM(CASE WHEN movement = 'return' THEN units ELSE 0 END),
    SUM(CASE WHEN movement = 'adjustment' THEN stock_change ELSE 0 END),
    SUM(stock_change),
    SUM(CASE WHEN movement = 'return' THEN units * price ELSE 0 END)
FROM core.fact_product_event
WHERE event_time >= :from_day
    AND event_time < :to_day
    AND CAST(event_time AS DATE) IN (SELECT period_start FROM build_period)
GROUP BY CAST(event_time AS DATE), product_id
