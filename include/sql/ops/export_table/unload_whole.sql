-- grain: all rows of the table
-- source: the table
-- idempotent: yes; the prefix is that of the export
-- re-run: writes the same rows again
UNLOAD ('SELECT {columns} FROM {table}')
TO '{unload_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
ALLOWOVERWRITE
