-- grain: one event of files of the lake that are written anew
-- source: files: those files, with today's columns, NULL where a file is older than the column
-- idempotent: changes no row of today
-- re-run: the same rows
SELECT
    * REPLACE (
        CASE movement WHEN 'sold' THEN 'sale' WHEN 'restocked' THEN 'restock' ELSE movement END AS movement,
        COALESCE(units, ABS(quantity)) AS units,
        COALESCE(stock_change, quantity) AS stock_change
    )
FROM files
