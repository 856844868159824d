-- grain: one product of a feed with an event on a day whose events changed; description and price are those of its latest event
-- source: mart.product_days
-- idempotent: derived from all days of the product, so the order of arrival does not matter
-- re-run: the same rows
INSERT INTO staged
WITH ranked AS (
    SELECT
        *,
        ROW_NUMBER() OVER (
            PARTITION BY feed, product_id, description IS NULL
            ORDER BY CASE WHEN is_priced THEN 0 ELSE 1 END, described_at DESC, described_by DESC
        ) AS description_age,
        ROW_NUMBER() OVER (
            PARTITION BY feed, product_id, price IS NULL ORDER BY priced_at DESC, priced_by DESC
        ) AS price_age
    FROM mart.product_days
    WHERE product_id IN (
        SELECT product_id
        FROM mart.product_days
        WHERE period_start IN (SELECT event_date FROM build_date)
    )
)
SELECT
    feed,
    product_id,
    MAX(CASE WHEN description_age = 1 THEN description END),
    MAX(CASE WHEN is_product THEN 1 ELSE 0 END) = 1,
    MAX(CASE WHEN price_age = 1 THEN price END),
    MIN(first_seen_at),
    MAX(last_seen_at)
FROM ranked
GROUP BY feed, product_id
