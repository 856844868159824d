-- grain: the role of what the stages of the DAGs may
-- source: none
-- idempotent: yes
-- re-run: grants what is granted
GRANT USAGE ON SCHEMA staging, core, mart, ops TO ROLE ecommerce_pipeline
