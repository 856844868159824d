-- grain: one value that the file has
-- source: landed_row, core_row, newest
-- idempotent: reads only
-- re-run: the same in the same session
SELECT
    landed.replaced_value,
    COALESCE(outside.events, 0) AS outside,
    newest.landed_at,
    newest.file_key,
    newest.etag
FROM (SELECT DISTINCT {key} AS replaced_value FROM landed_row) AS landed
LEFT JOIN (
    SELECT {key} AS replaced_value, COUNT(*) AS events
    FROM core_row
    WHERE is_outside = 1
    GROUP BY {key}
) AS outside ON landed.replaced_value = outside.replaced_value
LEFT JOIN newest ON landed.replaced_value = newest.replaced_value
ORDER BY landed.replaced_value
