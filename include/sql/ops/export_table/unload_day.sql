-- grain: the fact's rows of the days that changed; all of them where all days are marked
-- source: the fact, ops.export_day
-- idempotent: yes; the prefix is that of the export
-- re-run: writes the same rows again
UNLOAD ('SELECT {columns} FROM {table} WHERE (SELECT COUNT(*) FROM ops.export_day WHERE mart = ''bigquery.{table}'' AND batch_id = ''all days'') > 0 OR CAST(event_time AS DATE) IN (SELECT event_date FROM ops.export_day WHERE mart = ''bigquery.{table}'')')
TO '{unload_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
ALLOWOVERWRITE
