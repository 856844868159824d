-- grain: one quarter of the calendar year with invoice lines
-- source: core.sales_line
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.sales_quarterly (LIKE mart.sales_daily)
