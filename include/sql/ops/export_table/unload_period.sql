-- grain: the table's rows of the periods that changed; all of them where all days are marked
-- source: the table, ops.export_day, core.dim_date
-- idempotent: yes; the prefix is that of the export
-- re-run: writes the same rows again
UNLOAD ('SELECT {columns} FROM {table} WHERE (SELECT COUNT(*) FROM ops.export_day WHERE mart = ''bigquery.{table}'' AND batch_id = ''all days'') > 0 OR period_start IN (SELECT dates.{period}_start FROM ops.export_day AS changed INNER JOIN core.dim_date AS dates ON changed.event_date = dates.date_day WHERE changed.mart = ''bigquery.{table}'')')
TO '{unload_prefix}'
IAM_ROLE {copy_role}
FORMAT AS PARQUET
ALLOWOVERWRITE
