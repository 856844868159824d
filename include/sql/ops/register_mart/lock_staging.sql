-- grain: one feed that a mart is made of
-- source: none
-- idempotent: a lock. A load takes it first too, so none is under way that would not know of the new mart
-- re-run: waits its turn
LOCK {staging}
