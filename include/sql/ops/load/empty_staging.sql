-- grain: the rows of the batch before
-- source: none
-- idempotent: yes. DELETE, because TRUNCATE would commit the transaction
-- re-run: deletes nothing more
DELETE FROM {staging}
