-- grain: as feature_product_week
-- source: feature_product_week
-- idempotent: into a folder that no other run writes to; UNLOAD refuses one that has files
-- re-run: in a folder of its own
UNLOAD ('SELECT * FROM feature_product_week')
TO '{features_prefix}product_week/'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
PARTITION BY (part)
