-- grain: one mart and one of its sources
-- source: ecommerce_elt.marts.builds.MARTS
-- idempotent: a pair is inserted once
-- re-run: inserts nothing
INSERT INTO ops.mart (mart, source)
SELECT :mart, :source
WHERE NOT EXISTS (SELECT 1 FROM ops.mart WHERE mart = :mart AND source = :source)
