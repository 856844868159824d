-- grain: none
-- source: none
-- idempotent: tables that are not there are no error
-- re-run: nothing is left to drop
DROP TABLE IF EXISTS day_staged, day_difference, day_count
