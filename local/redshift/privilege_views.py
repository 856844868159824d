"""Tables of users, groups, roles and grants, and the views and functions that show them (`privileges`)."""

from __future__ import annotations

from local.redshift.catalog import SYSTEM_SCHEMA

GRANTS, IDENTITIES, MEMBERS = (f"{SYSTEM_SCHEMA}.{name}" for name in ("grants", "identities", "members"))
SUPERUSERS = ("admin", "IAM:local", "rdsdb")
SYSTEM_ROLES = ("sys:operator", "sys:dba", "sys:superuser", "sys:secadmin", "sys:monitor")
FIRST_ID = 101
BOOTSTRAP = f"""
CREATE TABLE IF NOT EXISTS {IDENTITIES} (id INTEGER, name VARCHAR, kind VARCHAR);
CREATE TABLE IF NOT EXISTS {MEMBERS} (owner VARCHAR, owner_kind VARCHAR, name VARCHAR, kind VARCHAR, admin_option BOOLEAN);
CREATE TABLE IF NOT EXISTS {GRANTS} (
    kind VARCHAR, table_schema VARCHAR, table_name VARCHAR, privilege VARCHAR, identity_kind VARCHAR, identity VARCHAR,
    admin_option BOOLEAN
);
INSERT INTO {IDENTITIES} SELECT id, name, kind FROM (VALUES (100, 'admin', 'user'), (1, 'rdsdb', 'user'), (0, 'public', 'public'),
    {", ".join(f"({10 + i}, '{name}', 'role')" for i, name in enumerate(SYSTEM_ROLES))}) AS given(id, name, kind)
    WHERE NOT EXISTS (FROM {IDENTITIES});
-- Who a user is, beside themself: everybody, their groups, their roles and the roles of these.
CREATE OR REPLACE VIEW {SYSTEM_SCHEMA}.identities_of_users AS
    WITH RECURSIVE found(usename, name, kind) AS (
        SELECT name, name, kind FROM {IDENTITIES} WHERE kind = 'user'
        UNION SELECT name, 'public', 'public' FROM {IDENTITIES} WHERE kind = 'user'
        UNION SELECT f.usename, m.owner, m.owner_kind FROM found f JOIN {MEMBERS} m ON m.name = f.name AND m.kind = f.kind)
    SELECT * FROM found;
"""


def _shown(kind: str, columns: str) -> str:
    return f"""
    SELECT {columns}, g.privilege AS privilege_type, i.id AS identity_id, g.identity AS identity_name,
        g.identity_kind AS identity_type, g.admin_option
    FROM {GRANTS} g JOIN {IDENTITIES} i ON i.name = g.identity AND i.kind = g.identity_kind WHERE g.kind = '{kind}'"""


_RELATION = _shown("relation", "g.table_schema AS namespace_name, g.table_name AS relation_name")
VIEWS = {
    "svv_relation_privileges": _RELATION,
    "svv_schema_privileges": _shown("schema", "g.table_schema AS namespace_name"),
    "svv_database_privileges": _shown("database", "g.table_schema AS database_name"),
    "svv_roles": f"""
        SELECT id AS role_id, name AS role_name, CASE WHEN name LIKE 'sys:%' THEN 'rdsdb' ELSE 'admin' END AS role_owner,
            CAST(NULL AS VARCHAR) AS external_id FROM {IDENTITIES} WHERE kind = 'role'""",
    "svv_user_grants": f"""
        SELECT u.id AS user_id, u.name AS user_name, r.id AS role_id, r.name AS role_name, m.admin_option
        FROM {MEMBERS} m JOIN {IDENTITIES} u ON u.name = m.name AND u.kind = m.kind
        JOIN {IDENTITIES} r ON r.name = m.owner AND r.kind = m.owner_kind WHERE m.kind = 'user' AND m.owner_kind = 'role'""",
    "svv_role_grants": f"""
        SELECT u.id AS role_id, u.name AS role_name, r.id AS granted_role_id, r.name AS granted_role_name
        FROM {MEMBERS} m JOIN {IDENTITIES} u ON u.name = m.name AND u.kind = m.kind
        JOIN {IDENTITIES} r ON r.name = m.owner AND r.kind = m.owner_kind WHERE m.kind = 'role' AND m.owner_kind = 'role'""",
}
OF_KIND = {
    "relation": ("SELECT", "INSERT", "UPDATE", "DELETE", "REFERENCES", "DROP"),
    "schema": ("CREATE", "USAGE"),
    "database": ("CREATE", "TEMPORARY"),
}
_SUPER = ", ".join(f"'{name}'" for name in SUPERUSERS)


def _macro(name: str, kind: str, condition: str, words: tuple[str, ...], everybody: str = "FALSE") -> str:
    """Returns the SQL of a function that checks a privilege of a user, or of the caller if no user is given.

    The caller has all privileges.

    `everybody` is a condition under which no grant is needed.
    """
    allowed = ", ".join(f"'{w}'" for w in (*words, "TEMP"))
    checked = (
        f"CASE WHEN upper(p) IN ({allowed}) THEN {{}} ELSE error('unrecognized privilege type: \"' || p || '\"') END"
    )
    owned = f"""CASE WHEN u IN ({_SUPER}) THEN {condition} WHEN NOT EXISTS (FROM {IDENTITIES} WHERE kind = 'user' AND name = u)
        THEN error('user "' || u || '" does not exist') ELSE {condition} AND ({everybody} OR EXISTS (SELECT 1 FROM {GRANTS} g
            JOIN {SYSTEM_SCHEMA}.identities_of_users i ON i.name = g.identity AND i.kind = g.identity_kind
            WHERE i.usename = u AND g.kind = '{kind}' AND g.privilege = CASE upper(p) WHEN 'TEMP' THEN 'TEMPORARY' ELSE upper(p) END
                AND {{match}})) END"""
    return f"CREATE OR REPLACE MACRO {name}(o, p) AS {checked.format(condition)}, (u, o, p) AS {checked.format(owned)};"


_KNOWN_SCHEMA = (
    f"(SELECT CASE WHEN COUNT(*) = 0 THEN error('schema \"' || o || '\" does not exist') ELSE TRUE END "
    f"FROM {SYSTEM_SCHEMA}.pg_namespace WHERE nspname = lower(o))"
)
_KNOWN_DATABASE = (
    f"(SELECT CASE WHEN COUNT(*) = 0 THEN error('database \"' || o || '\" does not exist') ELSE TRUE END "
    f"FROM {SYSTEM_SCHEMA}.pg_database WHERE datname = lower(o))"
)
# A system view, which everybody may read.
_IS_SYSTEM = (
    f"list_contains((SELECT list(v.view_name) FROM duckdb_views() v WHERE v.schema_name = '{SYSTEM_SCHEMA}' "
    "AND regexp_matches(v.view_name, '^(pg|svv|svl|stl|stv|sys)_')), "
    "regexp_replace(lower(CAST(o AS VARCHAR)), '^pg_catalog[.]', ''))"
)
_TABLE = (
    f"(SELECT CASE WHEN COUNT(*) > 0 THEN min(r.schema || '.' || r.name) WHEN {_IS_SYSTEM} THEN 'pg_catalog' "
    "ELSE error('relation \"' || o || '\" does not exist') END "
    f"FROM {SYSTEM_SCHEMA}.relations r WHERE CAST(r.oid AS VARCHAR) = CAST(o AS VARCHAR) OR lower(CAST(o AS VARCHAR)) = "
    "r.schema || '.' || r.name OR (lower(CAST(o AS VARCHAR)) = r.name AND r.schema IN (SELECT unnest(current_schemas(false)))))"
)
MACROS = "\n".join(
    [
        _macro(
            "has_table_privilege",
            "relation",
            f"{_TABLE} IS NOT NULL",
            OF_KIND["relation"],
            f"(upper(p) = 'SELECT' AND {_IS_SYSTEM})",
        ).replace("{match}", f"g.table_schema || '.' || g.table_name = {_TABLE}"),
        _macro("has_schema_privilege", "schema", _KNOWN_SCHEMA, OF_KIND["schema"]).replace(
            "{match}", "g.table_schema = lower(o)"
        ),
        _macro("has_database_privilege", "database", _KNOWN_DATABASE, OF_KIND["database"]).replace(
            "{match}", "g.table_schema = lower(o)"
        ),
    ]
)
