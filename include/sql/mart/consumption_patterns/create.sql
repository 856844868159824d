-- grain: one product, age group and gender with purchases
-- source: mart.consumption_monthly
-- idempotent: a view
-- re-run: defines the same view
-- measure group_share: purchases of the product / all purchases of the age group and gender
-- measure affinity: group_share / the product's share of all purchases: 1 is average, 2 is twice as often
CREATE OR REPLACE VIEW mart.consumption_patterns AS
WITH cell AS (
    SELECT
        product_name,
        age_group,
        gender,
        CAST(SUM(purchases) AS BIGINT) AS purchases,
        CAST(SUM(amount) AS DECIMAL(18, 2)) AS amount
    FROM mart.consumption_monthly
    GROUP BY product_name, age_group, gender
),
shared AS (
    SELECT
        *,
        SUM(purchases) OVER (PARTITION BY age_group, gender) AS group_purchases,
        SUM(purchases) OVER (PARTITION BY product_name) AS product_purchases,
        SUM(purchases) OVER () AS all_purchases
    FROM cell
)
SELECT
    product_name,
    age_group,
    gender,
    purchases,
    amount,
    CAST(CAST(purchases AS DECIMAL(18, 4)) / group_purchases AS DECIMAL(18, 4)) AS group_share,
    CAST(
        CAST(purchases * all_purchases AS DECIMAL(18, 2)) / (group_purchases * product_purchases) AS DECIMAL(18, 2)
    ) AS affinity
FROM shared
