-- grain: none
-- source: none
-- idempotent: a lock, before the transaction's snapshot
-- re-run: waits its turn
LOCK ops.exported_table
