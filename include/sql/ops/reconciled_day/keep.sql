-- grain: one day of a feed's events
-- source: what reconcile_layers compared
-- idempotent: the previous row is deleted in the same transaction
-- re-run: the same row, compared later
INSERT INTO ops.reconciled_day (
    feed, event_date, lake_rows, core_rows, differing, difference, compared_at
) VALUES (
    :feed,
    CAST(:event_date AS DATE),
    CAST(:lake_rows AS BIGINT),
    CAST(:core_rows AS BIGINT),
    CAST(:differing AS BIGINT),
    NULLIF(:difference, 'none'),
    CAST(:compared_at AS TIMESTAMP) -- before the lists were read
)
