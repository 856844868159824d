-- grain: one of the eight products that run out first
-- source: mart.inventory_level
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT product_id, on_hand, days_of_cover, sold_last_28_days, sales_trend, status
FROM mart.inventory_level
WHERE sold_last_28_days > 0
ORDER BY days_of_cover, product_id
LIMIT 8
