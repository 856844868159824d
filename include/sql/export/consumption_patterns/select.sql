-- grain: one product, age group and gender with purchases
-- source: mart.consumption_patterns
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    product_name,
    age_group,
    gender,
    purchases,
    amount,
    group_share,
    affinity
FROM mart.consumption_patterns
