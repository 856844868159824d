-- grain: one period of the mart with a day that changed
-- source: build_date, core.dim_date
-- idempotent: a temporary table of this session
-- re-run: the same
CREATE TEMPORARY TABLE build_period AS
SELECT DISTINCT dates.{period}_start AS period_start
FROM build_date
INNER JOIN core.dim_date AS dates ON build_date.event_date = dates.date_day
