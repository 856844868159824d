-- grain: one table of an export to BigQuery that is not closed
-- source: the table, counted in the transaction that unloads it
-- idempotent: an export has an id of its own
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.export_total (
    export_id VARCHAR(64) NOT NULL,
    table_name VARCHAR(128) NOT NULL,
    totals VARCHAR(8192) NOT NULL,
    counted_at TIMESTAMP NOT NULL,
    PRIMARY KEY (export_id, table_name)
)
