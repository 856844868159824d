-- grain: one day and batch that an export to BigQuery has taken in and not yet worked off
-- source: ops.stale_date
-- idempotent: an export replaces the rows of a table by its own, and takes them away once it is swapped in
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.export_day (
    export_id VARCHAR(64) NOT NULL,
    mart VARCHAR(128) NOT NULL,
    event_date DATE NOT NULL,
    batch_id VARCHAR(128) NOT NULL
)
