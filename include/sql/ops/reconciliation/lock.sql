-- grain: one row that a feed's task keeps
-- source: none
-- idempotent: a lock, before the transaction's snapshot: the feeds, which are compared side by side, do not conflict
-- re-run: waits its turn
LOCK ops.reconciliation
