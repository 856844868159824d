-- grain: the COPY job of firehose_transactions
-- source: none
-- idempotent: no; it is dropped where it is there: infra/deploy.py
-- re-run: is refused, because there is no such job
COPY JOB DROP firehose_transactions
