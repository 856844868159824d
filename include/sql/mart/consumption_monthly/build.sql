-- grain: one month, product, age group and gender whose purchases changed; measures as in mart.demographics_daily
-- source: core.fact_purchase
-- idempotent: computes the whole month from core
-- re-run: the same rows
INSERT INTO staged
SELECT
    dates.month_start,
    purchase.product_name,
    purchase.age_group,
    purchase.gender,
    COUNT(*),
    SUM(purchase.amount)
FROM core.fact_purchase AS purchase
INNER JOIN core.dim_date AS dates ON CAST(purchase.event_time AS DATE) = dates.date_day
WHERE purchase.event_time >= :from_day
    AND purchase.event_time < :to_day
    AND dates.month_start IN (SELECT period_start FROM build_period)
GROUP BY dates.month_start, purchase.product_name, purchase.age_group, purchase.gender
