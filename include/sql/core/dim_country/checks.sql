-- grain: one check
-- source: staged, the rows that are about to replace those of core.dim_country
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    'core.dim_country',
    'country is unique',
    'fail',
    COUNT(*),
    MIN(CAST(country AS VARCHAR)),
    GETDATE()
FROM (SELECT country FROM staged GROUP BY country HAVING COUNT(*) > 1) AS repeated
UNION ALL
SELECT
    :build_id,
    'core.dim_country',
    'the country is known to ISO 3166',
    'warn',
    COUNT(*),
    MIN(country),
    GETDATE()
FROM staged
WHERE iso_code IS NULL AND country <> 'unknown'
