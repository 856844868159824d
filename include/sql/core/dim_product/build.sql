-- grain: one product with an event on a day whose events changed; description and price are those of its latest event
-- source: core.fact_invoice_line, core.fact_product_event
-- idempotent: derived from all events of the product, so the order of arrival does not matter
-- re-run: the same rows
INSERT INTO staged
WITH touched AS (
    SELECT stock_code AS product_id
    FROM core.fact_invoice_line
    WHERE event_time >= :from_day
        AND event_time < :to_day
        AND CAST(event_time AS DATE) IN (SELECT event_date FROM build_date)
    UNION
    SELECT product_id
    FROM core.fact_product_event
    WHERE event_time >= :from_day
        AND event_time < :to_day
        AND CAST(event_time AS DATE) IN (SELECT event_date FROM build_date)
),
event AS (
    SELECT
        stock_code AS product_id,
        description,
        unit_price > 0 AS is_priced,
        CASE WHEN line_type = 'sale' AND unit_price > 0 THEN unit_price END AS price,
        stock_code ~ '^[0-9]{5}' AS is_product,
        event_time,
        event_id
    FROM core.fact_invoice_line
    UNION ALL
    SELECT product_id, CAST(NULL AS VARCHAR(1024)), TRUE, price, TRUE, event_time, event_id
    FROM core.fact_product_event
),
ranked AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            -- Lines without a price carry notes such as "damaged" in place of the name.
            PARTITION BY product_id, description IS NULL
            ORDER BY CASE WHEN is_priced THEN 0 ELSE 1 END, event_time DESC, event_id DESC
        ) AS description_age,
        ROW_NUMBER() OVER (
            PARTITION BY product_id, price IS NULL ORDER BY event_time DESC, event_id DESC
        ) AS price_age
    FROM event
    WHERE product_id IN (SELECT product_id FROM touched)
)
SELECT
    product_id,
    MAX(CASE WHEN description_age = 1 THEN description END),
    MAX(CASE WHEN is_product THEN 1 ELSE 0 END) = 1,
    MAX(CASE WHEN price_age = 1 THEN price END),
    MIN(event_time),
    MAX(event_time)
FROM ranked
GROUP BY product_id
