-- grain: all rows of the mart
-- source: none
-- idempotent: insert puts them back in the same transaction. DELETE, because TRUNCATE would commit it
-- re-run: the same
DELETE FROM {table}
