-- grain: one product of the forecast
-- source: the Parquet files of the run of forecast/
-- idempotent: into an empty temporary table
-- re-run: copies the same files
-- measure lead_days: days from an order to its arrival, by class of demand: setting forecast_lead_days
-- measure service_level: chance that the stock lasts until an order arrives, by class of demand: setting forecast_service_levels
-- measure expected_units: mean of the demand within lead_days, drawn from the quantiles of its days
-- measure reorder_point: the quantile service_level of the demand within lead_days: order when no more is on hand
-- measure order_up_to: the quantile service_level of the demand within lead_days and a week: what an order fills up to
COPY staged
FROM '{forecast_files}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
