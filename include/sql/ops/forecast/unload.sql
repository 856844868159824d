-- grain: one day and product of a feed that was asked for; today is left out, as it has not ended
-- source: mart.product_demand_daily
-- idempotent: replaces what an earlier run unloaded
-- re-run: writes the demand as it is then
UNLOAD ('
    SELECT
        feed,
        product_id,
        period_start AS day,
        CAST(demand_units AS DOUBLE PRECISION) AS units,
        CAST(demand_revenue AS DOUBLE PRECISION) AS revenue
    FROM mart.product_demand_daily
    WHERE period_start < CAST(GETDATE() AS DATE)
')
TO '{forecast_files}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
CLEANPATH
