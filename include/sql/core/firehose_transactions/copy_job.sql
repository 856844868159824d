-- grain: one invoice line of a file that Firehose wrote
-- source: the files below firehose/rows/, each once, as they come
-- idempotent: no; the job is made where it is not there: infra/deploy.py
-- re-run: is refused, because the job has a name
COPY core.firehose_transactions (
    event_id,
    event_version,
    InvoiceNo,
    StockCode,
    Description,
    Quantity,
    InvoiceDate,
    UnitPrice,
    CustomerID,
    Country,
    arrival_time
)
FROM '{delivered_rows}'
IAM_ROLE {copy_role}
FORMAT AS JSON 'auto ignorecase'
GZIP
TIMEFORMAT 'auto'
JOB CREATE firehose_transactions
AUTO ON
