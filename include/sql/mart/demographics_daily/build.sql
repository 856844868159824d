-- grain: one day, age group, gender and state whose purchases changed
-- source: core.fact_purchase
-- idempotent: computes the whole day from core
-- re-run: the same rows
-- measure purchases: purchase events
-- measure amount: what was paid, in the currency of the feed
INSERT INTO staged
SELECT
    CAST(event_time AS DATE),
    age_group,
    gender,
    state,
    COUNT(*),
    COUNT(DISTINCT customer_key),
    SUM(amount)
FROM core.fact_purchase
WHERE event_time >= :from_day
    AND event_time < :to_day
    AND CAST(event_time AS DATE) IN (SELECT period_start FROM build_period)
GROUP BY CAST(event_time AS DATE), age_group, gender, state
