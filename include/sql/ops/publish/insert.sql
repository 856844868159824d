-- grain: that of the mart
-- source: staged, which has the mart's columns in the mart's order
-- idempotent: the rows that they replace were deleted by the same transaction
-- re-run: the same rows
INSERT INTO {table}
SELECT *
FROM staged
