-- grain: one mart that was published
-- source: ops.mart_build
-- idempotent: reads only
-- re-run: the same, and what was published since
SELECT mart, published_at, row_count
FROM ops.mart_build
WHERE published_at IS NOT NULL
