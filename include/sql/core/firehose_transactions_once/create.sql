-- grain: one invoice line, one row per event_id: of its highest version the one that arrived first
-- source: core.firehose_transactions
-- idempotent: a view; repeated deliveries do not show
-- re-run: defines the same view
CREATE OR REPLACE VIEW core.firehose_transactions_once AS
SELECT
    event_id,
    COALESCE(event_version, 1) AS event_version,
    InvoiceNo,
    StockCode,
    Description,
    Quantity,
    InvoiceDate,
    UnitPrice,
    CustomerID,
    Country,
    arrival_time
FROM (
    SELECT
        *,
        ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY COALESCE(event_version, 1) DESC, arrival_time) AS copy_number
    FROM core.firehose_transactions
) AS delivered
WHERE copy_number = 1
