-- grain: one mart
-- source: none
-- idempotent: a lock; as the first statement it comes before the transaction's snapshot
-- re-run: waits its turn
LOCK ops.mart_build
