-- grain: one quarter of the calendar year, feed and currency with sales
-- source: core.sales_line
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.sales_quarterly (LIKE mart.sales_daily)
