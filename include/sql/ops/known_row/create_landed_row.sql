-- grain: one clean event of the landed files
-- source: none
-- idempotent: a temporary table of this session
-- re-run: creates it anew, in another session
CREATE TEMPORARY TABLE landed_row (LIKE {staging})
