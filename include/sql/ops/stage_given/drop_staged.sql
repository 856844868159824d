-- grain: the mart that this session built before
-- source: none
-- idempotent: yes
-- re-run: drops nothing
DROP TABLE IF EXISTS staged, build_date, build_period
