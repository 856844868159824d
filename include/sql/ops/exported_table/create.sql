-- grain: one table that BigQuery has
-- source: ops.export_total of the last export of the table; the comparison fills difference and compared_at
-- idempotent: an export replaces the row, an older one does not
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.exported_table (
    table_name VARCHAR(128) NOT NULL,
    export_id VARCHAR(64) NOT NULL,
    totals VARCHAR(8192) NOT NULL,
    counted_at TIMESTAMP NOT NULL,
    difference VARCHAR(4096),
    compared_at TIMESTAMP,
    PRIMARY KEY (table_name)
)
