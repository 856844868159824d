-- grain: one row of core that the file lacks, of a value that the file has
-- source: unmatched_row
-- idempotent: reads only
-- re-run: the same in the same session
SELECT event_id, event_version, {columns}
FROM unmatched_row
WHERE is_other = 1 AND row_number > landed_rows
ORDER BY event_id
