-- grain: the role of what the page may
-- source: none
-- idempotent: yes
-- re-run: grants what is granted
GRANT SELECT ON ALL TABLES IN SCHEMA core, mart, ops TO ROLE ecommerce_reader
