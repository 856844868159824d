-- grain: one week, feed and currency with sales; the week is named by its Monday (ISO 8601)
-- source: core.sales_line
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.sales_weekly (LIKE mart.sales_daily)
