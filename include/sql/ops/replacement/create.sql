-- grain: one value of a column, such as an invoice, whose rows in core a landed file replaced
-- source: written by replace_rows, in the transaction that takes the rows out
-- idempotent: a file replaces a value once
-- re-run: creates nothing twice. landed_at says which of two files is the newer one, whatever order they are loaded in
CREATE TABLE IF NOT EXISTS ops.replacement (
    feed VARCHAR(64) NOT NULL,
    column_name VARCHAR(64) NOT NULL,
    replaced_value VARCHAR(65535) NOT NULL,
    landed_at TIMESTAMP NOT NULL,
    file_key VARCHAR(1024) NOT NULL,
    etag VARCHAR(128) NOT NULL,
    withdrawn INTEGER NOT NULL,
    restored INTEGER NOT NULL,
    replaced_at TIMESTAMP NOT NULL
)
SORTKEY (feed, column_name, landed_at)
