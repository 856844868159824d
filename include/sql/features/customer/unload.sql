-- grain: as feature_customer
-- source: feature_customer
-- idempotent: into a folder that no other run writes to; UNLOAD refuses one that has files
-- re-run: in a folder of its own
UNLOAD ('SELECT * FROM feature_customer')
TO '{features_prefix}customer/'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
PARTITION BY (part)
