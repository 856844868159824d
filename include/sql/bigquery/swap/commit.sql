-- grain: one data set
-- source: none
-- idempotent: yes
-- re-run: nothing is open
COMMIT TRANSACTION;
