-- grain: the rows whose key was computed anew
-- source: staged
-- idempotent: 04_insert puts them back in the same transaction
-- re-run: the same
DELETE FROM {table}
USING staged
WHERE {table}.{key} = staged.{key}
