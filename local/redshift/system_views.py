"""System views beside the catalog that clients read (`system`): statistics, load errors, settings of the database.

Source: Redshift Developer Guide, "System tables and views reference". Other views are refused by name.
"""

from __future__ import annotations

from local.redshift import history
from local.redshift.catalog import SYSTEM_SCHEMA

# Redshift's measurements of blocks, slices and statistics of a table have no equivalent here and are NULL. A small
# table of DISTSTYLE AUTO is distributed as ALL.
_TABLE_INFO = f"""
    SELECT '{{database}}' AS database, r.schema, r.oid AS table_id, r.name AS "table",
        CASE WHEN c.is_encoded THEN 'Y' ELSE 'N' END AS encoded,
        CASE a.diststyle WHEN 'KEY' THEN 'KEY(' || a.distkey || ')' WHEN 'AUTO' THEN 'AUTO(ALL)' ELSE a.diststyle END AS diststyle,
        CASE WHEN len(a.sortkey) > 0 THEN a.sortkey[1] ELSE 'AUTO(SORTKEY)' END AS sortkey1, c.max_varchar, c.sortkey1_enc,
        CAST(len(a.sortkey) AS INTEGER) AS sortkey_num, CAST(NULL AS BIGINT) AS size, CAST(NULL AS DECIMAL(10,4)) AS pct_used,
        CAST(NULL AS BIGINT) AS "empty", CAST(NULL AS DECIMAL(5,2)) AS unsorted, CAST(NULL AS DECIMAL(5,2)) AS stats_off,
        CAST(r.rows AS DECIMAL(38,0)) AS tbl_rows, CAST(NULL AS DECIMAL(19,2)) AS skew_sortkey1,
        CAST(NULL AS DECIMAL(19,2)) AS skew_rows, CAST(r.rows AS DECIMAL(38,0)) AS estimated_visible_rows,
        CAST(NULL AS VARCHAR) AS risk_event, CAST(NULL AS DECIMAL(12,2)) AS vacuum_sort_benefit,
        CAST(NULL AS TIMESTAMP) AS create_time
    FROM {SYSTEM_SCHEMA}.relations r
    JOIN {SYSTEM_SCHEMA}.attributes a ON a.table_schema = r.schema AND a.table_name = r.name
    JOIN (SELECT attrelid, bool_or(format_encoding(attencodingtype) <> 'none') AS is_encoded,
            CAST(max(CASE WHEN atttypid = 1043 THEN atttypmod - 4 END) AS INTEGER) AS max_varchar,
            max(CASE WHEN abs(attsortkeyord) = 1 THEN format_encoding(attencodingtype) END) AS sortkey1_enc
        FROM {SYSTEM_SCHEMA}.pg_attribute GROUP BY attrelid) c ON c.attrelid = r.oid
    WHERE r.kind = 'r' AND r.rows > 0"""

# The DuckDB query of each view.
VIEWS: dict[str, str] = {
    "sys_load_error_detail": "SELECT * FROM main.sys_load_error_detail",
    "sys_query_history": history.VIEW,
    "svv_table_info": _TABLE_INFO,
    "svv_user_info": "SELECT 'IAM:local' AS user_name, 100 AS user_id, TRUE AS createdb, TRUE AS superuser",
    **{name: f"SELECT * FROM main.{name}" for name in ("sys_copy_job", "sys_copy_job_detail")},
    "stv_db_isolation_level": f"SELECT '{{database}}' AS db_name, level AS isolation_level FROM {SYSTEM_SCHEMA}.isolation",
}
# The columns of type CHAR of each view, with their lengths.
CHARS = {"sys_query_history": history.CHARS, "svv_table_info": {"sortkey1_enc": 32}}


def views_sql(database: str) -> str:
    """Returns the statements that create the views in the stand-in's own schema."""
    return "\n".join(
        f'CREATE OR REPLACE VIEW {SYSTEM_SCHEMA}."{name}" AS {query.replace("{database}", database)};'
        for name, query in VIEWS.items()
    )
