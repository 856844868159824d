-- grain: none: it has no rows
-- source: none: transactions that write lock it first where the isolation of the database is SERIALIZABLE
-- idempotent: creates nothing twice
-- re-run: creates nothing twice
CREATE TABLE IF NOT EXISTS ops.turn (
    turn SMALLINT
)
DISTSTYLE ALL
