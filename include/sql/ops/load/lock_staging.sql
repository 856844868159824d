-- grain: one batch of a feed with a contract
-- source: none
-- idempotent: a lock; two loads of one feed follow each other, and readers of core are never held up
-- re-run: waits its turn; as the first statement it comes before the transaction's snapshot
LOCK {staging}
