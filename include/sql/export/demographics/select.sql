-- grain: one day, age group, gender and state with purchases
-- source: mart.demographics_daily
-- idempotent: reads only
-- re-run: the rows as they are now
SELECT
    period_start AS purchase_date,
    age_group,
    gender,
    state,
    purchases,
    customers,
    amount
FROM mart.demographics_daily
