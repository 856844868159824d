-- grain: one row: the last day of the data, for which marts that are made of this one are marked
-- source: mart.product_demand_daily
-- idempotent: a temporary table of this session
-- re-run: the same
CREATE TEMPORARY TABLE build_date AS
SELECT
    CAST(:mart AS VARCHAR(128)) AS mart,
    MAX(period_start) AS event_date,
    CAST(:build_id AS VARCHAR(128)) AS batch_id
FROM mart.product_demand_daily
WHERE period_start < CAST(GETDATE() AS DATE)
