-- grain: one invoice line as Firehose delivered it, at least once; columns named as the source names them
-- source: the delivery stream's COPY of what firehose_transform wrote
-- idempotent: no; a delivery that is repeated adds its rows again. Read firehose_transactions_once
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS core.firehose_transactions (
    event_id VARCHAR(128) NOT NULL DISTKEY,
    event_version INTEGER DEFAULT 1,
    InvoiceNo VARCHAR(32) NOT NULL,
    StockCode VARCHAR(64) NOT NULL,
    Description VARCHAR(1024),
    Quantity INTEGER NOT NULL,
    InvoiceDate TIMESTAMP NOT NULL,
    UnitPrice DECIMAL(12, 3) NOT NULL,
    CustomerID VARCHAR(64),
    Country VARCHAR(128) NOT NULL,
    arrival_time TIMESTAMP NOT NULL
)
SORTKEY (arrival_time)
