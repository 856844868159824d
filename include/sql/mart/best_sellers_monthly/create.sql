-- grain: one of the products of a feed that sold best in a month in a currency
-- source: mart.product_sales_daily
-- idempotent: build_marts replaces whole periods
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS mart.best_sellers_monthly (LIKE mart.best_sellers_daily)
