-- grain: the role of what the stages of the DAGs may; VACUUM and ANALYZE are of sys:operator
-- source: none
-- idempotent: yes
-- re-run: grants what is granted
GRANT ROLE sys:operator TO ROLE ecommerce_pipeline
