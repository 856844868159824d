-- grain: one batch
-- source: its audit row, its counts by object
-- idempotent: reads only
-- re-run: the same answer. Where the sums differ, the cast of the message fails and takes the transaction with it
SELECT
    CASE
        WHEN audit.accepted = audit.clean + audit.quarantined + audit.duplicates
            AND staged.accepted = audit.accepted
            THEN 1
        ELSE CAST(
            'I1: accepted ' || CAST(audit.accepted AS VARCHAR) || ' clean ' || CAST(audit.clean AS VARCHAR)
            || ' quarantined ' || CAST(audit.quarantined AS VARCHAR)
            || ' duplicates ' || CAST(audit.duplicates AS VARCHAR) AS INTEGER
        )
    END AS conserved
FROM ops.batch_audit AS audit
INNER JOIN (
    SELECT batch_id, SUM(accepted) AS accepted
    FROM batch_object_staged
    GROUP BY batch_id
) AS staged ON audit.batch_id = staged.batch_id
