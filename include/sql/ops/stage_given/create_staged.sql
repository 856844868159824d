-- grain: that of the mart
-- source: none
-- idempotent: a temporary table of this session
-- re-run: creates it anew
CREATE TEMPORARY TABLE staged (LIKE {table})
