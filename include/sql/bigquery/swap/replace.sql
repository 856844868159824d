-- grain: the rows of the table that changed
-- source: the table beside it, which the export has loaded
-- idempotent: rows that are there already are deleted first, in the same transaction
-- re-run: the same rows
DELETE FROM `{bigquery_table}`
WHERE {replaced};
INSERT INTO `{bigquery_table}` ({bigquery_columns})
SELECT {bigquery_columns}
FROM `{staged_table}`;
