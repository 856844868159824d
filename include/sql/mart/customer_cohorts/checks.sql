-- grain: one check
-- source: staged, the rows that are about to replace those of mart.customer_cohorts
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'mart.customer_cohorts',
    'cohort_month, feed, currency and months_since_first are unique',
    'fail',
    COUNT(*),
    MIN(CAST(cohort_month AS VARCHAR) || ' ' || feed || ' ' || currency || ' ' || CAST(months_since_first AS VARCHAR)),
    GETDATE()
FROM (SELECT cohort_month, feed, currency, months_since_first FROM staged GROUP BY cohort_month, feed, currency, months_since_first HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'mart.customer_cohorts',
    'all of a cohort bought in its first month',
    'fail',
    COUNT(*),
    MIN(CAST(cohort_month AS VARCHAR)),
    GETDATE()
FROM staged
WHERE months_since_first = 0 AND customers <> cohort_customers
UNION ALL
SELECT
    :build_id,
    'mart.customer_cohorts',
    'retention is a share',
    'fail',
    COUNT(*),
    MIN(CAST(cohort_month AS VARCHAR)),
    GETDATE()
FROM staged
WHERE retention NOT BETWEEN 0 AND 1 OR months_since_first < 0
