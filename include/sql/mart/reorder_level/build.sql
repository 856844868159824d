-- grain: one product of mart.lead_time_demand
-- source: mart.lead_time_demand, mart.inventory_level
-- idempotent: computes the whole
-- re-run: the same rows
-- measure safety_stock: reorder_point - expected_units; zero where less
-- measure order_quantity: order_up_to - on_hand where on_hand (0 where below) is at most reorder_point, else 0; empty for a product of another feed than product_events
-- measure days_until_stock_out: on_hand (0 where below) / (expected_units / lead_days); empty where nothing is expected, or nothing is known
INSERT INTO staged
SELECT
    needed.feed,
    needed.product_id,
    needed.origin_date,
    needed.demand_class,
    needed.lead_days,
    needed.service_level,
    needed.expected_units,
    CAST(GREATEST(needed.reorder_point - needed.expected_units, 0) AS DECIMAL(18, 2)),
    needed.reorder_point,
    needed.order_up_to,
    stock.on_hand,
    CASE
        WHEN stock.on_hand IS NULL THEN NULL
        WHEN GREATEST(stock.on_hand, 0) <= needed.reorder_point THEN needed.order_up_to - GREATEST(stock.on_hand, 0)
        ELSE 0
    END,
    CASE
        WHEN stock.on_hand IS NOT NULL AND needed.expected_units > 0
            THEN CAST(CAST(GREATEST(stock.on_hand, 0) * needed.lead_days AS DECIMAL(18, 4)) / needed.expected_units AS DECIMAL(18, 1))
    END
FROM mart.lead_time_demand AS needed
LEFT JOIN mart.inventory_level AS stock ON needed.feed = 'product_events' AND needed.product_id = stock.product_id
