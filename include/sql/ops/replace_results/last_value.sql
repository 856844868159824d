-- grain: one row: the value of the last row of a file
-- source: landed_row, of the raw objects of one file, whose keys are in the order of the lines
-- idempotent: reads only
-- re-run: the same in the same session
SELECT {key}
FROM landed_row
WHERE LEFT(source_object, LEN(:raw_prefix)) = :raw_prefix
ORDER BY source_object DESC, source_line DESC
LIMIT 1
