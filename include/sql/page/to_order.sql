-- grain: one of the eight products to order first; where no stock is known, of those that most is asked for
-- source: mart.reorder_level, core.dim_product
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    needed.feed,
    needed.product_id,
    product.description,
    needed.order_quantity,
    needed.on_hand,
    needed.days_until_stock_out,
    needed.reorder_point,
    needed.expected_units,
    needed.lead_days
FROM mart.reorder_level AS needed
LEFT JOIN core.dim_product AS product ON needed.feed = product.feed AND needed.product_id = product.product_id
WHERE (needed.order_quantity IS NULL OR needed.order_quantity > 0)
    AND (:feed = 'all' OR needed.feed = :feed)
ORDER BY
    CASE WHEN needed.order_quantity > 0 THEN 0 ELSE 1 END,
    needed.days_until_stock_out,
    needed.expected_units DESC,
    needed.product_id
LIMIT 8
