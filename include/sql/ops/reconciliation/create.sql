-- grain: one hour of arrival of one feed; feed '*' is the stream as a whole
-- source: reconcile_layers: raw/ by counting lines, kinesis by the stream's own metric, the rest by what loads committed
-- idempotent: an hour is replaced when it is counted again
-- re-run: creates nothing twice. Hours that are sealed are counted again only where an object came or went since
CREATE TABLE IF NOT EXISTS ops.reconciliation (
    feed VARCHAR(64) NOT NULL,
    hour_start TIMESTAMP NOT NULL,
    kinesis BIGINT,
    raw BIGINT NOT NULL,
    accepted BIGINT NOT NULL,
    clean BIGINT NOT NULL,
    quarantined BIGINT NOT NULL,
    duplicates BIGINT NOT NULL,
    quarantine_rows BIGINT NOT NULL,
    waiting BIGINT NOT NULL,
    difference VARCHAR(4096),
    is_sealed BOOLEAN NOT NULL,
    counted_at TIMESTAMP NOT NULL,
    objects BIGINT
)
SORTKEY (hour_start)
