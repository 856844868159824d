-- grain: one data set
-- source: the claim
-- idempotent: yes. Every export writes this row, so of two that are swapped in at a time BigQuery lets one commit
-- re-run: the same. Where a later export has claimed the data set, ERROR ends the transaction, and nothing of it is seen
BEGIN TRANSACTION;
UPDATE `{claim_table}`
SET published_at = IF(
    export_id = '{export_id}',
    CURRENT_TIMESTAMP(),
    CAST(ERROR(CONCAT('claimed by the later export ', export_id)) AS TIMESTAMP)
)
WHERE TRUE;
