-- grain: one row
-- source: day_count
-- idempotent: reads only
-- re-run: the same in the same session
SELECT lake_rows, core_rows FROM day_count
