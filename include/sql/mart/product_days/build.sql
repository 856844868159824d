-- grain: one day with changed events, and one product of a feed with events on it; description and price are those of its latest event
-- source: core.sales_line, core.fact_product_event
-- idempotent: computes the whole day from core, so the order of arrival does not matter
-- re-run: the same rows
-- measure is_product: as in core.dim_product: a code of online_retail that begins with five digits, a line of another feed, or what the stock room has
-- measure first_seen_at: first event of the product on the day
-- measure last_seen_at: last event of the product on the day
-- measure is_priced: the event that gives the description has a price
-- measure described_at: time of the event that gives the description
-- measure described_by: event that gives the description
-- measure price: of the latest sale or movement with a price on the day
-- measure priced_at: time of the event that gives the price
-- measure priced_by: event that gives the price
INSERT INTO staged
WITH event AS (
    SELECT
        sale_date AS event_date,
        feed,
        stock_code AS product_id,
        product_name AS description,
        unit_price > 0 AS is_priced,
        CASE WHEN line_type = 'sale' AND unit_price > 0 THEN unit_price END AS price,
        is_product,
        event_time,
        event_id
    FROM core.sales_line
    WHERE event_time >= :from_day AND event_time < :to_day
    UNION ALL
    SELECT
        CAST(event_time AS DATE),
        'product_events',
        product_id,
        CAST(NULL AS VARCHAR(1024)),
        TRUE,
        price,
        TRUE,
        event_time,
        event_id
    FROM core.fact_product_event
    WHERE event_time >= :from_day AND event_time < :to_day
),
ranked AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            -- Lines without a price carry notes such as "damaged" in place of the name.
            PARTITION BY event_date, feed, product_id, description IS NULL
            ORDER BY CASE WHEN is_priced THEN 0 ELSE 1 END, event_time DESC, event_id DESC
        ) AS description_age,
        ROW_NUMBER() OVER (
            PARTITION BY event_date, feed, product_id, price IS NULL ORDER BY event_time DESC, event_id DESC
        ) AS price_age
    FROM event
    WHERE event_date IN (SELECT period_start FROM build_period)
)
SELECT
    event_date,
    feed,
    product_id,
    MAX(CASE WHEN is_product THEN 1 ELSE 0 END) = 1,
    MIN(event_time),
    MAX(event_time),
    MAX(CASE WHEN description_age = 1 THEN description END),
    MAX(CASE WHEN description_age = 1 AND description IS NOT NULL AND is_priced THEN 1 ELSE 0 END) = 1,
    MAX(CASE WHEN description_age = 1 AND description IS NOT NULL THEN event_time END),
    MAX(CASE WHEN description_age = 1 AND description IS NOT NULL THEN event_id END),
    MAX(CASE WHEN price_age = 1 THEN price END),
    MAX(CASE WHEN price_age = 1 AND price IS NOT NULL THEN event_time END),
    MAX(CASE WHEN price_age = 1 AND price IS NOT NULL THEN event_id END)
FROM ranked
GROUP BY event_date, feed, product_id
