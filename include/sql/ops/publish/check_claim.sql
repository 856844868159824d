-- grain: one mart
-- source: ops.mart_build
-- idempotent: reads only
-- re-run: the same. Where a later build has claimed the mart, the cast of the message fails and takes the transaction with it
SELECT
    CASE
        WHEN build_id = :build_id THEN 1
        ELSE CAST('claimed by the later build ' || build_id AS INTEGER)
    END AS is_mine
FROM ops.mart_build
WHERE mart = :mart
