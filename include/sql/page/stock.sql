-- grain: one stock status
-- source: mart.inventory_level
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT status, COUNT(*) AS products, SUM(on_hand) AS on_hand, MAX(as_of_date) AS as_of_date
FROM mart.inventory_level
GROUP BY status
LIMIT 10
