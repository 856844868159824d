-- grain: one check
-- source: staged, the rows that are about to replace those of mart.demographics_daily
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.demographics_daily',
    'period_start and age_group and gender and state are unique',
    'fail',
    COUNT(*),
    MIN(CAST(period_start AS VARCHAR) || ' ' || CAST(age_group AS VARCHAR) || ' ' || CAST(gender AS VARCHAR) || ' ' || CAST(state AS VARCHAR)),
    GETDATE()
FROM (SELECT period_start, age_group, gender, state FROM staged GROUP BY period_start, age_group, gender, state HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.demographics_daily',
    'amount is the sum of core',
    'fail',
    COUNT(*),
    MIN(
        CAST(COALESCE(built.period_start, core.period_start) AS VARCHAR) || ': '
        || CAST(COALESCE(built.total, 0) AS VARCHAR) || ' instead of ' || CAST(COALESCE(core.total, 0) AS VARCHAR)
    ),
    GETDATE()
FROM (SELECT period_start, SUM(amount) AS total FROM staged GROUP BY period_start) AS built
FULL JOIN (
    SELECT
        dates.day_start AS period_start,
        SUM(fact.amount) AS total
    FROM core.fact_purchase AS fact
    INNER JOIN core.dim_date AS dates ON CAST(fact.event_time AS DATE) = dates.date_day
    WHERE fact.event_time >= :from_day
        AND fact.event_time < :to_day
        AND dates.day_start IN (SELECT period_start FROM build_period)
    GROUP BY dates.day_start
) AS core ON built.period_start = core.period_start
WHERE COALESCE(built.total, 0) <> COALESCE(core.total, 0)
UNION ALL
SELECT
    :build_id,
    'mart.demographics_daily',
    'age_group is an accepted value',
    'fail',
    COUNT(*),
    MIN(age_group),
    GETDATE()
FROM staged
WHERE age_group NOT IN ('0-17', '18-24', '25-34', '35-44', '45-54', '55-64', '65+')
UNION ALL
SELECT
    :build_id,
    'mart.demographics_daily',
    'gender is an accepted value',
    'warn', -- the contract says what is accepted; the sums are right in any case
    COUNT(*),
    MIN(gender),
    GETDATE()
FROM staged
WHERE gender NOT IN ('Female', 'Male', 'Other')
