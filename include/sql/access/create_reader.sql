-- grain: the role of what the page may
-- source: none
-- idempotent: no; it is made where it is not there: infra/deploy.py
-- re-run: is refused, because the role is there
CREATE ROLE ecommerce_reader
