-- grain: one product of the forecast
-- source: mart.reorder_level, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    needed.feed,
    needed.product_id,
    product.description,
    needed.origin_date,
    needed.demand_class,
    needed.lead_days,
    needed.service_level,
    needed.expected_units,
    needed.safety_stock,
    needed.reorder_point,
    needed.order_up_to,
    needed.on_hand,
    needed.order_quantity,
    needed.days_until_stock_out
FROM mart.reorder_level AS needed
LEFT JOIN core.dim_product AS product ON needed.feed = product.feed AND needed.product_id = product.product_id
