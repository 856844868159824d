-- grain: one data set
-- source: none
-- idempotent: the last claim counts. An earlier export that still runs finds its claim gone, and cannot be swapped in
-- re-run: claims again
MERGE INTO `{claim_table}` AS claim
USING (SELECT '{export_id}' AS export_id) AS mine
ON TRUE
WHEN MATCHED THEN UPDATE SET export_id = mine.export_id, published_at = NULL
WHEN NOT MATCHED THEN INSERT (export_id) VALUES (mine.export_id)
