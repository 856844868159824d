-- grain: the mart's rows of the periods that changed
-- source: build_period
-- idempotent: insert puts them back in the same transaction
-- re-run: the same
DELETE FROM {table}
WHERE period_start IN (SELECT period_start FROM build_period)
