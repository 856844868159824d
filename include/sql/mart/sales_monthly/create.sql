-- grain: one month, feed and currency with sales
-- source: core.sales_line
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.sales_monthly (LIKE mart.sales_daily)
