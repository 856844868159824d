-- grain: one invoice line, one row per event_id: the one that arrived first
-- source: core.firehose_transactions
-- idempotent: a view; repeated deliveries do not show
-- re-run: defines the same view
CREATE OR REPLACE VIEW core.firehose_transactions_once AS
SELECT
    event_id,
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
        ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY arrival_time) AS copy_number
    FROM core.firehose_transactions
) AS delivered
WHERE copy_number = 1
