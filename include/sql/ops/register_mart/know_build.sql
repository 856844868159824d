-- grain: one mart
-- source: ecommerce_elt.marts.builds.MARTS
-- idempotent: a mart is inserted once
-- re-run: inserts nothing
INSERT INTO ops.mart_build (mart, build_id)
SELECT :mart, 'none'
WHERE NOT EXISTS (SELECT 1 FROM ops.mart_build WHERE mart = :mart)
