-- grain: one column that the warehouse has and BigQuery's table has not
-- source: none
-- idempotent: yes
-- re-run: adds nothing. Old rows have NULL until the export brings them again
ALTER TABLE `{bigquery_table}` ADD COLUMN IF NOT EXISTS {key} {bigquery_type}
