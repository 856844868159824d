-- grain: one mart
-- source: none
-- idempotent: a lock, before the transaction's snapshot: builds of other marts, with rows in this table too, do not conflict
-- re-run: waits its turn
LOCK ops.mart_build
