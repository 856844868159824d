-- grain: the rows whose key was computed anew
-- source: staged
-- idempotent: insert puts them back in the same transaction
-- re-run: the same
DELETE FROM {table}
USING staged
WHERE {table}.{key} = staged.{key}
