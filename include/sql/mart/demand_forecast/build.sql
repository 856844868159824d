-- grain: one product and day of the forecast
-- source: the Parquet files of the run of forecast/
-- idempotent: into an empty temporary table
-- re-run: copies the same files
-- measure units_p05: with a chance of 5 % no more is asked for on the day
-- measure units_p25: with a chance of 25 % no more is asked for on the day
-- measure units_p50: as likely more as less is asked for on the day
-- measure units_p75: with a chance of 75 % no more is asked for on the day
-- measure units_p95: with a chance of 95 % no more is asked for on the day
COPY staged
FROM '{forecast_files}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
