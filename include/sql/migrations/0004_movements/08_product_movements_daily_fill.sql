-- grain: one day and product whose movements were all of version 1
-- source: mart.product_movements_daily
-- idempotent: a row whose stock has changed by what was sold and restocked alone gets that
-- re-run: changes nothing
UPDATE mart.product_movements_daily
SET stock_change = restocked_units - sold_units
WHERE returned_units = 0 AND adjusted_units = 0
