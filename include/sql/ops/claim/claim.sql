-- grain: one mart
-- source: none
-- idempotent: the last claim counts. An earlier build that still runs finds its claim gone, and cannot publish
-- re-run: claims again
UPDATE ops.mart_build
SET build_id = :build_id
WHERE mart = :mart
