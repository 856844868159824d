-- grain: one role of the database
-- source: svv_roles
-- idempotent: a query
-- re-run: reads again
SELECT role_name
FROM svv_roles
