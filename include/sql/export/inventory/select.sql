-- grain: one product with movements
-- source: mart.inventory_level
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    product_id,
    as_of_date,
    status,
    on_hand,
    days_of_cover,
    stock_out_days,
    sold_units,
    sold_last_28_days,
    sold_28_days_before,
    sales_trend
FROM mart.inventory_level
