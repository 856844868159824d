-- grain: one hour of arrival of one feed
-- source: what reconcile_layers counted
-- idempotent: the previous row is deleted in the same transaction
-- re-run: the same row, counted later
INSERT INTO ops.reconciliation (
    feed, hour_start, kinesis, raw, accepted, clean, quarantined, duplicates, quarantine_rows, waiting, difference,
    is_sealed, counted_at, objects
) VALUES (
    :feed,
    CAST(:hour_start AS TIMESTAMP),
    CAST(NULLIF(:kinesis, 'none') AS BIGINT),
    CAST(:raw AS BIGINT),
    CAST(:accepted AS BIGINT),
    CAST(:clean AS BIGINT),
    CAST(:quarantined AS BIGINT),
    CAST(:duplicates AS BIGINT),
    CAST(:quarantine_rows AS BIGINT),
    CAST(:waiting AS BIGINT),
    NULLIF(:difference, 'none'),
    CAST(:is_sealed AS BOOLEAN),
    CAST(:counted_at AS TIMESTAMP), -- before the objects were listed
    CAST(:objects AS BIGINT)
)
