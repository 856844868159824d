-- grain: one way to write the name of a country
-- source: none
-- idempotent: seed.sql fills the table again in the same transaction
-- re-run: the same
DELETE FROM core.country_name
