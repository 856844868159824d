-- grain: one mart
-- source: the mart
-- idempotent: overwrites the row
-- re-run: the same, with a new time
UPDATE ops.mart_build
SET
    published_build_id = :build_id,
    published_at = GETDATE(),
    row_count = (SELECT COUNT(*) FROM {table})
WHERE mart = :mart
