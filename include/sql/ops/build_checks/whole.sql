-- grain: one check
-- source: staged, and the rows of the mart that it is about to replace
-- idempotent: a build's results are told apart by its id
-- re-run: adds the results of that build
INSERT INTO ops.check_results (build_id, mart, check_name, severity, failed_rows, detail, checked_at)
SELECT
    :build_id,
    :mart,
    'at least nine tenths of the rows that are replaced',
    'warn',
    CASE WHEN built.row_count * 10 < past.row_count * 9 THEN past.row_count - built.row_count ELSE 0 END,
    CAST(past.row_count AS VARCHAR) || ' rows become ' || CAST(built.row_count AS VARCHAR),
    GETDATE()
FROM (SELECT COUNT(*) AS row_count FROM staged) AS built
CROSS JOIN (
    SELECT COUNT(*) AS row_count
    FROM {table}
) AS past
