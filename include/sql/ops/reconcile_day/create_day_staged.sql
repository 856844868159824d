-- grain: one event of the day in the lake
-- source: none
-- idempotent: a temporary table of this session
-- re-run: creates it anew
CREATE TEMPORARY TABLE day_staged (LIKE {staging})
