-- grain: one age group and gender
-- source: mart.demographics_daily
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT age_group, gender, SUM(amount) AS amount, SUM(purchases) AS purchases
FROM mart.demographics_daily
WHERE period_start >= :from_day AND period_start < :to_day
GROUP BY age_group, gender
ORDER BY age_group, gender
LIMIT 100
