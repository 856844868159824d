-- grain: one day of a feed's events
-- source: reconcile_layers: the lake's files of the day and core, row by row
-- idempotent: a day is replaced when it is compared again
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.reconciled_day (
    feed VARCHAR(64) NOT NULL,
    event_date DATE NOT NULL,
    lake_rows BIGINT NOT NULL,
    core_rows BIGINT NOT NULL,
    differing BIGINT NOT NULL,
    difference VARCHAR(4096),
    compared_at TIMESTAMP NOT NULL
)
SORTKEY (event_date)
