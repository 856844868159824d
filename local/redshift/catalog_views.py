"""Redshift's system catalog as views: pg_catalog, information_schema and the SVV views.

They are built on the metadata that the stand-in stores about its tables. Other metadata has no column here, or an empty
view.
"""

from __future__ import annotations

import re

from local.redshift import attributes, comments, materialized, privilege_views
from local.redshift import views as dependencies
from local.redshift.catalog import SYSTEM_SCHEMA
from local.redshift.pg_types import COLUMNS, DEFAULT_ENCODING, ENCODINGS, FORMAT_TYPE, KIND_OIDS, TYPES, empty

OWNER = "admin"
_OWN_SCHEMAS = f"'main', '{SYSTEM_SCHEMA}', 'pg_catalog', 'information_schema'"
_OID_BASE = 100_000  # user objects of Redshift are above it


def _views(database: str) -> dict[str, str]:
    """Returns the SQL of each view by name; names of information_schema have the prefix information_schema__.

    It is long because it is a table: each entry is one view.
    """
    db = "'" + database.replace("'", "''") + "'"
    kept = f"{SYSTEM_SCHEMA}.columns c SEMI JOIN {SYSTEM_SCHEMA}.relations r ON r.schema = c.table_schema AND r.name = c.table_name"
    owner_id = 100
    types = ", ".join(f"({oid}, '{name}', {length}, {element})" for oid, name, length, element in TYPES)
    oid_of_kind = "CASE c.kind " + " ".join(f"WHEN '{k}' THEN {v}" for k, v in KIND_OIDS.items()) + " END"
    modifier = (
        "CASE WHEN c.kind IN ('VARCHAR', 'CHAR') THEN c.length + 4 WHEN c.kind = 'DECIMAL' "
        "THEN c.precision * 65536 + c.scale + 4 ELSE -1 END"
    )
    encoding = (
        "lower(CASE WHEN r.kind <> 'r' THEN 'none' WHEN e.encoding = 'raw' THEN 'none' " + DEFAULT_ENCODING + " END)"
    )
    encoding_code = f"CAST(list_position({ENCODINGS}, {encoding}) - 1 AS INTEGER)"
    names_of_columns = f"""(SELECT table_schema, table_name, list(name ORDER BY position) AS names
        FROM {SYSTEM_SCHEMA}.columns GROUP BY table_schema, table_name)"""
    svv_columns = f"""SELECT {db} AS table_catalog, {COLUMNS},
        CAST(NULL AS VARCHAR) AS interval_type, CAST(NULL AS VARCHAR) AS interval_precision,
        CAST(NULL AS VARCHAR) AS character_set_catalog, CAST(NULL AS VARCHAR) AS character_set_schema,
        CAST(NULL AS VARCHAR) AS character_set_name, CAST(NULL AS VARCHAR) AS collation_catalog,
        CAST(NULL AS VARCHAR) AS collation_schema, CAST(NULL AS VARCHAR) AS collation_name,
        CAST(NULL AS VARCHAR) AS domain_name, (SELECT description FROM {comments.COMMENTS} d
            WHERE d.kind = 'column' AND d.table_schema = c.table_schema
            AND d.table_name = c.table_name AND d.part = c.name) AS remarks FROM {kept}"""
    all_columns = f"""SELECT {db} AS database_name, table_schema AS schema_name, table_name, column_name, ordinal_position,
        column_default, is_nullable, data_type, character_maximum_length, numeric_precision, numeric_scale, remarks
        FROM {SYSTEM_SCHEMA}.svv_columns"""
    all_tables = f"""SELECT {db} AS database_name, schema AS schema_name, name AS table_name,
        CASE kind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END AS table_type, CAST(NULL AS VARCHAR) AS table_acl,
        (SELECT description FROM {comments.COMMENTS} d
            WHERE d.kind = 'relation' AND d.table_schema = r.schema
            AND d.table_name = r.name) AS remarks, '{OWNER}' AS table_owner FROM {SYSTEM_SCHEMA}.relations r"""
    schemas = f"""SELECT {db} AS database_name, nspname AS schema_name, nspowner AS schema_owner, 'local' AS schema_type,
        CAST(NULL AS VARCHAR) AS schema_acl, CAST(NULL AS VARCHAR) AS source_database,
        CAST(NULL AS VARCHAR) AS schema_option FROM {SYSTEM_SCHEMA}.pg_namespace"""
    return {
        "relations": f"""
            SELECT {_OID_BASE} + t.table_oid AS oid, t.schema_name AS schema, t.table_name AS name,
                CASE WHEN m.statement IS NULL THEN 'r' ELSE 'v' END AS kind, t.estimated_size AS rows,
                t.column_count, rtrim(m.statement, '; ') || ';' AS definition
            FROM duckdb_tables() t LEFT JOIN {materialized.KEPT} m ON m.table_schema = t.schema_name AND m.table_name = t.table_name
            WHERE NOT t.internal AND NOT t.temporary AND t.schema_name NOT IN ({_OWN_SCHEMAS})
            UNION ALL SELECT {_OID_BASE} + view_oid, schema_name, view_name, 'v', 0, column_count, sql
            FROM duckdb_views() WHERE NOT internal AND NOT temporary AND schema_name NOT IN ({_OWN_SCHEMAS})""",
        "pg_namespace": f"""
            SELECT CASE schema_name WHEN 'public' THEN 2200 ELSE {_OID_BASE} + oid END AS oid, schema_name AS nspname,
                {owner_id} AS nspowner, CAST(NULL AS VARCHAR[]) AS nspacl
            FROM duckdb_schemas() WHERE NOT internal AND database_name NOT IN ('system', 'temp')
                AND schema_name NOT IN ({_OWN_SCHEMAS})
            UNION ALL SELECT 11, 'pg_catalog', 1, NULL UNION ALL SELECT 12000, 'information_schema', 1, NULL""",
        "pg_class": f"""
            SELECT r.oid, r.name AS relname, n.oid AS relnamespace, 0 AS reltype, {owner_id} AS relowner, 0 AS relam,
                r.oid AS relfilenode, 0 AS reltablespace, 0 AS relpages, CAST(r.rows AS FLOAT) AS reltuples,
                0 AS reltoastrelid, 0 AS reltoastidxid, FALSE AS relhasindex, FALSE AS relisshared, r.kind AS relkind,
                CAST(r.column_count AS SMALLINT) AS relnatts,
                CASE a.diststyle WHEN 'EVEN' THEN 0 WHEN 'KEY' THEN 1 WHEN 'ALL' THEN 8 WHEN 'AUTO' THEN 9 END AS reldiststyle,
                0 AS relchecks, 0 AS reltriggers, FALSE AS relhasoids,
                FALSE AS relhasrules, FALSE AS relhastriggers, FALSE AS relhassubclass, CAST(NULL AS VARCHAR[]) AS relacl,
                EXISTS (SELECT 1 FROM {SYSTEM_SCHEMA}.pg_constraint k WHERE k.conrelid = r.oid AND k.contype = 'p') AS relhaspkey
            FROM {SYSTEM_SCHEMA}.relations r JOIN {SYSTEM_SCHEMA}.pg_namespace n ON n.nspname = r.schema
            LEFT JOIN {SYSTEM_SCHEMA}.attributes a ON r.kind = 'r' AND a.table_schema = r.schema AND a.table_name = r.name""",
        "pg_attribute": f"""
            SELECT r.oid AS attrelid, c.name AS attname, {oid_of_kind} AS atttypid, -1 AS attstattarget,
                CAST(t.typlen AS SMALLINT) AS attlen, CAST(c.position AS SMALLINT) AS attnum, 0 AS attndims, -1 AS attcacheoff,
                {modifier} AS atttypmod, FALSE AS attbyval, 'x' AS attstorage, 'i' AS attalign, NOT c.nullable AS attnotnull,
                c.default_sql IS NOT NULL OR c.identity_of IS NOT NULL AS atthasdef, FALSE AS attisdropped,
                TRUE AS attislocal, 0 AS attinhcount, 0 AS attcollation, CAST(NULL AS VARCHAR[]) AS attacl,
                coalesce(a.distkey = c.name, FALSE) AS attisdistkey,
                coalesce(list_position(a.sortkey, c.name), 0) * CASE WHEN a.is_interleaved
                    AND list_position(a.sortkey, c.name) % 2 = 0 THEN -1 ELSE 1 END AS attsortkeyord,
                {encoding_code} AS attencodingtype
            FROM {SYSTEM_SCHEMA}.columns c
            JOIN {SYSTEM_SCHEMA}.relations r ON r.schema = c.table_schema AND r.name = c.table_name
            LEFT JOIN {SYSTEM_SCHEMA}.attributes a ON r.kind = 'r' AND a.table_schema = r.schema AND a.table_name = r.name
            LEFT JOIN {SYSTEM_SCHEMA}.encodings e ON r.kind = 'r' AND e.table_schema = r.schema AND e.table_name = r.name
                AND e.name = c.name
            JOIN {SYSTEM_SCHEMA}.pg_type t ON t.oid = {oid_of_kind}""",
        "pg_attrdef": f"""
            SELECT a.attrelid + a.attnum AS oid, a.attrelid AS adrelid, a.attnum AS adnum,
                CASE WHEN c.identity_of IS NOT NULL THEN '"identity"' ELSE c.default_sql END AS adbin,
                CASE WHEN c.identity_of IS NOT NULL THEN '"identity"' ELSE c.default_sql END AS adsrc
            FROM {SYSTEM_SCHEMA}.pg_attribute a JOIN {SYSTEM_SCHEMA}.relations r ON r.oid = a.attrelid
            JOIN {SYSTEM_SCHEMA}.columns c ON c.table_schema = r.schema AND c.table_name = r.name AND c.position = a.attnum
            WHERE a.atthasdef""",
        "pg_constraint": f"""
            SELECT {_OID_BASE} * 10 + row_number() OVER (ORDER BY k.table_schema, k.table_name, k.name) AS oid, k.name AS conname,
                n.oid AS connamespace, k.kind AS contype, FALSE AS condeferrable, FALSE AS condeferred, r.oid AS conrelid,
                0 AS contypid, coalesce(o.oid, 0) AS confrelid, CASE WHEN k.kind = 'f' THEN 'a' ELSE ' ' END AS confupdtype,
                CASE WHEN k.kind = 'f' THEN 'a' ELSE ' ' END AS confdeltype,
                CASE WHEN k.kind = 'f' THEN 'u' ELSE ' ' END AS confmatchtype,
                list_transform(k.columns, lambda c: CAST(list_position(p.names, c) AS SMALLINT)) AS conkey,
                CASE WHEN k.kind = 'f' THEN list_transform(k.other_columns, lambda c: CAST(list_position(q.names, c) AS SMALLINT)) END
                    AS confkey, CAST(NULL AS VARCHAR) AS conbin, CAST(NULL AS VARCHAR) AS consrc,
                CASE k.kind WHEN 'p' THEN 'PRIMARY KEY (' WHEN 'u' THEN 'UNIQUE (' ELSE 'FOREIGN KEY (' END ||
                    array_to_string(k.columns, ', ') || ')' || CASE WHEN k.kind = 'f' THEN ' REFERENCES ' ||
                    CASE k.other_schema WHEN 'public' THEN '' ELSE k.other_schema || '.' END || k.other_table || '(' ||
                    array_to_string(k.other_columns, ', ') || ')' ELSE '' END AS "definition"
            FROM (SELECT * REPLACE (CASE WHEN kind = 'f' AND len(other_columns) = 0 THEN (SELECT h.columns FROM {SYSTEM_SCHEMA}.keys h
                    WHERE h.kind = 'p' AND h.table_schema = g.other_schema AND h.table_name = g.other_table)
                    ELSE other_columns END AS other_columns) FROM {SYSTEM_SCHEMA}.keys g) k
            JOIN {SYSTEM_SCHEMA}.relations r ON r.kind = 'r' AND r.schema = k.table_schema AND r.name = k.table_name
            JOIN {SYSTEM_SCHEMA}.pg_namespace n ON n.nspname = r.schema
            LEFT JOIN {SYSTEM_SCHEMA}.relations o ON o.kind = 'r' AND o.schema = k.other_schema AND o.name = k.other_table
            JOIN {names_of_columns} p ON p.table_schema = k.table_schema AND p.table_name = k.table_name
            LEFT JOIN {names_of_columns} q ON q.table_schema = k.other_schema AND q.table_name = k.other_table""",
        "pg_index": f"""
            SELECT oid AS indexrelid, conrelid AS indrelid, CAST(len(conkey) AS SMALLINT) AS indnatts, contype IN ('p', 'u') AS indisunique,
                contype = 'p' AS indisprimary, FALSE AS indisclustered, TRUE AS indisvalid, conkey AS indkey,
                CAST(NULL AS VARCHAR) AS indexprs, CAST(NULL AS VARCHAR) AS indpred
            FROM {SYSTEM_SCHEMA}.pg_constraint WHERE contype IN ('p', 'u')""",
        "pg_table_def": f"""
            SELECT r.schema AS schemaname, r.name AS tablename, a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS "type",
                format_encoding(a.attencodingtype) AS "encoding", a.attisdistkey AS "distkey", a.attsortkeyord AS "sortkey",
                a.attnotnull AS "notnull"
            FROM {SYSTEM_SCHEMA}.pg_attribute a JOIN {SYSTEM_SCHEMA}.relations r ON r.oid = a.attrelid
            WHERE r.kind = 'r' AND r.schema IN (SELECT unnest(current_schemas(false)))""",
        "information_schema__table_constraints": f"""
            SELECT {db} AS constraint_catalog, r.schema AS constraint_schema, k.conname AS constraint_name, {db} AS table_catalog,
                r.schema AS table_schema, r.name AS table_name, CASE k.contype WHEN 'p' THEN 'PRIMARY KEY' WHEN 'u' THEN 'UNIQUE'
                ELSE 'FOREIGN KEY' END AS constraint_type, 'NO' AS is_deferrable, 'NO' AS initially_deferred
            FROM {SYSTEM_SCHEMA}.pg_constraint k JOIN {SYSTEM_SCHEMA}.relations r ON r.oid = k.conrelid""",
        "information_schema__key_column_usage": f"""
            SELECT {db} AS constraint_catalog, table_schema AS constraint_schema, name AS constraint_name, {db} AS table_catalog,
                table_schema, table_name, unnest(columns) AS column_name, generate_subscripts(columns, 1) AS ordinal_position
            FROM {SYSTEM_SCHEMA}.keys SEMI JOIN {SYSTEM_SCHEMA}.relations r ON r.kind = 'r' AND r.schema = table_schema
                AND r.name = table_name""",
        "pg_type": f"""
            SELECT oid, typname, 11 AS typnamespace, 1 AS typowner, typlen, FALSE AS typbyval,
                CASE WHEN typname IN ('unknown', 'void') THEN 'p' ELSE 'b' END AS typtype, TRUE AS typisdefined, ',' AS typdelim,
                0 AS typrelid, typelem, 0 AS typarray, FALSE AS typnotnull, 0 AS typbasetype, -1 AS typtypmod, 0 AS typndims,
                CASE WHEN typelem <> 0 AND typname LIKE '\\_%' ESCAPE '\\' THEN 'array_in' ELSE typname || 'in' END AS typinput,
                CAST(NULL AS VARCHAR) AS typdefault
            FROM (VALUES {types}) AS t(oid, typname, typlen, typelem)""",
        "pg_database": f"""
            SELECT {_OID_BASE} AS oid, {db} AS datname, {owner_id} AS datdba, 6 AS encoding, FALSE AS datistemplate,
                TRUE AS datallowconn, 0 AS datlastsysoid, 0 AS dattablespace, CAST(NULL AS VARCHAR) AS datconfig,
                CAST(NULL AS VARCHAR[]) AS datacl""",
        "pg_user": f"""
            SELECT name AS usename, id AS usesysid, id <= {owner_id} AS usecreatedb, id <= {owner_id} AS usesuper,
                FALSE AS usecatupd, '********' AS passwd, CAST(NULL AS TIMESTAMP) AS valuntil, CAST(NULL AS VARCHAR) AS useconfig
            FROM {privilege_views.IDENTITIES} WHERE kind = 'user'""",
        "pg_group": f"""
            SELECT g.name AS groname, g.id AS grosysid, (SELECT list(u.id ORDER BY u.id) FROM {privilege_views.MEMBERS} m
                JOIN {privilege_views.IDENTITIES} u ON u.name = m.name AND u.kind = m.kind
                WHERE m.owner = g.name AND m.owner_kind = 'group') AS grolist
            FROM {privilege_views.IDENTITIES} g WHERE g.kind = 'group'""",
        **privilege_views.VIEWS,
        "svv_mv_info": materialized.VIEW.format(db=db),
        "pg_tables": f"""
            SELECT schema AS schemaname, name AS tablename, '{OWNER}' AS tableowner, CAST(NULL AS VARCHAR) AS tablespace,
                FALSE AS hasindexes, FALSE AS hasrules, FALSE AS hastriggers FROM {SYSTEM_SCHEMA}.relations WHERE kind = 'r'""",
        "pg_views": f"""
            SELECT schema AS schemaname, name AS viewname, '{OWNER}' AS viewowner, definition
            FROM {SYSTEM_SCHEMA}.relations WHERE kind = 'v'""",
        "pg_description": f"""
            SELECT r.oid AS objoid, 1259 AS classoid, coalesce(c.position, 0) AS objsubid, d.description
            FROM {comments.COMMENTS} d JOIN {SYSTEM_SCHEMA}.relations r ON r.schema = d.table_schema AND r.name = d.table_name
            LEFT JOIN {SYSTEM_SCHEMA}.columns c ON c.table_schema = d.table_schema AND c.table_name = d.table_name AND c.name = d.part
            WHERE d.kind IN ('relation', 'column')
            UNION ALL SELECT k.oid, 2606, 0, d.description
            FROM {comments.COMMENTS} d JOIN {SYSTEM_SCHEMA}.relations r ON r.schema = d.table_schema AND r.name = d.table_name
            JOIN {SYSTEM_SCHEMA}.pg_constraint k ON k.conrelid = r.oid AND k.conname = d.part WHERE d.kind = 'constraint'
            UNION ALL SELECT {_OID_BASE}, 1262, 0, description FROM {comments.COMMENTS} WHERE kind = 'database'""",
        "pg_proc": empty(
            "oid:INTEGER proname pronamespace:INTEGER proowner:INTEGER prolang:INTEGER proisagg:BOOLEAN "
            "proretset:BOOLEAN pronargs:SMALLINT prorettype:INTEGER proargtypes:INTEGER[] proargnames:VARCHAR[] "
            "proargmodes:VARCHAR[] proallargtypes:INTEGER[] prosrc prokind"
        ),
        "pg_proc_info": empty(
            "prooid:INTEGER proname pronamespace:INTEGER prokind proowner:INTEGER prolang:INTEGER "
            "prorettype:INTEGER pronargs:SMALLINT proargtypes:INTEGER[] proargnames:VARCHAR[] "
            "proargmodes:VARCHAR[] proallargtypes:INTEGER[] prosrc"
        ),
        "pg_inherits": empty("inhrelid:INTEGER inhparent:INTEGER inhseqno:INTEGER"),
        "pg_trigger": empty("oid:INTEGER tgrelid:INTEGER tgname tgisconstraint:BOOLEAN"),
        "pg_rewrite": f"""
            SELECT {_OID_BASE} * 100 + oid AS oid, '_RETURN' AS rulename, oid AS ev_class, CAST(-1 AS SMALLINT) AS ev_attr, '1' AS ev_type
            FROM {SYSTEM_SCHEMA}.relations WHERE kind = 'v'""",
        "pg_language": empty("oid:INTEGER lanname"),
        "pg_am": empty("oid:INTEGER amname"),
        "pg_tablespace": empty("oid:INTEGER spcname spcowner:INTEGER"),
        "pg_depend": f"""
            SELECT 2618 AS classid, w.oid AS objid, 0 AS objsubid, 1259 AS refclassid, t.oid AS refobjid, 0 AS refobjsubid, 'n' AS deptype
            FROM {SYSTEM_SCHEMA}.dependencies d
            JOIN {SYSTEM_SCHEMA}.relations v ON v.kind = 'v' AND v.schema = d.view_schema AND v.name = d.view_name
            JOIN {SYSTEM_SCHEMA}.pg_rewrite w ON w.ev_class = v.oid
            JOIN {SYSTEM_SCHEMA}.relations t ON t.schema = d.table_schema AND t.name = d.table_name""",
        "pg_external_schema": empty("esoid:INTEGER eskind:INTEGER esdbname esoptions"),
        "svv_tables": f"""
            SELECT {db} AS table_catalog, schema AS table_schema, name AS table_name,
                CASE kind WHEN 'v' THEN 'VIEW' ELSE 'BASE TABLE' END AS table_type, (SELECT description FROM {comments.COMMENTS} d
            WHERE d.kind = 'relation' AND d.table_schema = r.schema
            AND d.table_name = r.name) AS remarks
            FROM {SYSTEM_SCHEMA}.relations r""",
        "svv_columns": svv_columns,
        "svv_all_tables": all_tables,
        "svv_redshift_tables": all_tables,
        "svv_all_columns": all_columns,
        "svv_redshift_columns": all_columns,
        "svv_all_schemas": schemas,
        "svv_redshift_schemas": schemas,
        "svv_redshift_databases": f"""
            SELECT {db} AS database_name, {owner_id} AS database_owner, 'local' AS database_type,
                CAST(NULL AS VARCHAR) AS database_acl, CAST(NULL AS VARCHAR) AS database_options,
                'Snapshot Isolation' AS database_isolation_level""",
        "svv_external_schemas": empty(
            "esoid:INTEGER eskind:SMALLINT schemaname esowner:INTEGER databasename esoptions"
        ),
        "svv_external_databases": empty("eskind:INTEGER esoptions databasename location parameters"),
        "svv_external_tables": empty(
            "redshift_database_name schemaname tablename tabletype location input_format output_format "
            "serialization_lib serde_parameters compressed:INTEGER parameters"
        ),
        "svv_external_columns": empty(
            "redshift_database_name schemaname tablename columnname external_type columnnum:INTEGER "
            "part_key:INTEGER is_nullable"
        ),
        "svv_external_partitions": empty(
            "schemaname tablename values location input_format output_format serialization_lib "
            "serde_parameters compressed:INTEGER parameters"
        ),
        "svv_datashares": empty(
            "share_name share_id:INTEGER share_owner:INTEGER source_database consumer_database share_type "
            "createdate:TIMESTAMP is_publicaccessible:BOOLEAN share_acl producer_account producer_namespace"
        ),
        "information_schema__tables": f"""
            SELECT table_catalog, table_schema, table_name, table_type, CAST(NULL AS VARCHAR) AS self_referencing_column_name,
                CAST(NULL AS VARCHAR) AS reference_generation, CAST(NULL AS VARCHAR) AS user_defined_type_catalog,
                CAST(NULL AS VARCHAR) AS user_defined_type_schema, CAST(NULL AS VARCHAR) AS user_defined_name
            FROM {SYSTEM_SCHEMA}.svv_tables""",
        "information_schema__columns": f"SELECT * EXCLUDE (remarks) FROM ({svv_columns})",
        "information_schema__views": f"""
            SELECT {db} AS table_catalog, schema AS table_schema, name AS table_name, definition AS view_definition,
                'NONE' AS check_option, 'NO' AS is_updatable, 'NO' AS is_insertable_into
            FROM {SYSTEM_SCHEMA}.relations WHERE kind = 'v'""",
        "information_schema__schemata": f"""
            SELECT {db} AS catalog_name, nspname AS schema_name, '{OWNER}' AS schema_owner,
                CAST(NULL AS VARCHAR) AS default_character_set_catalog, CAST(NULL AS VARCHAR) AS default_character_set_schema,
                CAST(NULL AS VARCHAR) AS default_character_set_name, CAST(NULL AS VARCHAR) AS sql_path
            FROM {SYSTEM_SCHEMA}.pg_namespace""",
    }


# Functions of the catalog.
_MACROS = f"""
CREATE OR REPLACE MACRO format_type(t, m) AS {FORMAT_TYPE};
CREATE OR REPLACE MACRO format_encoding(e) AS ({ENCODINGS})[e + 1];
CREATE OR REPLACE MACRO pg_get_constraintdef(o) AS (SELECT definition FROM {SYSTEM_SCHEMA}.pg_constraint WHERE oid = o),
    (o, p) AS (SELECT definition FROM {SYSTEM_SCHEMA}.pg_constraint WHERE oid = o);
CREATE OR REPLACE MACRO pg_get_indexdef(o) AS CAST(NULL AS VARCHAR), (o, n, p) AS CAST(NULL AS VARCHAR);
CREATE OR REPLACE MACRO pg_get_userbyid(u) AS CASE u WHEN 100 THEN '{OWNER}' WHEN 1 THEN 'rdsdb' ELSE 'unknown (OID=' || u || ')' END;
CREATE OR REPLACE MACRO pg_table_is_visible(o) AS
    EXISTS (SELECT 1 FROM {SYSTEM_SCHEMA}.relations WHERE oid = o AND schema IN (SELECT unnest(current_schemas(false))));
CREATE OR REPLACE MACRO pg_type_is_visible(o) AS TRUE;
CREATE OR REPLACE MACRO pg_function_is_visible(o) AS TRUE;
CREATE OR REPLACE MACRO pg_get_expr(e, o) AS e, (e, o, p) AS e;
CREATE OR REPLACE MACRO pg_get_viewdef(o) AS (SELECT definition FROM {SYSTEM_SCHEMA}.relations WHERE oid = o),
    (o, p) AS (SELECT definition FROM {SYSTEM_SCHEMA}.relations WHERE oid = o);
CREATE OR REPLACE MACRO obj_description(o) AS (SELECT any_value(description) FROM {SYSTEM_SCHEMA}.pg_description
    WHERE objoid = o AND objsubid = 0), (o, c) AS (SELECT any_value(description) FROM {SYSTEM_SCHEMA}.pg_description
    WHERE objoid = o AND objsubid = 0 AND classoid = CASE c WHEN 'pg_class' THEN 1259 WHEN 'pg_constraint' THEN 2606
        WHEN 'pg_database' THEN 1262 END);
CREATE OR REPLACE MACRO col_description(o, n) AS (SELECT any_value(description) FROM {SYSTEM_SCHEMA}.pg_description
    WHERE objoid = o AND objsubid = n AND n > 0);
CREATE OR REPLACE MACRO shobj_description(o, c) AS (SELECT any_value(description) FROM {SYSTEM_SCHEMA}.pg_description
    WHERE objoid = o AND classoid = 1262 AND c = 'pg_database');
CREATE OR REPLACE MACRO pg_encoding_to_char(e) AS 'UTF8';
CREATE OR REPLACE MACRO rs_regclass(n) AS (SELECT CAST(CASE WHEN COUNT(*) = 0 THEN error('relation "' || n || '" does not exist')
    ELSE MIN(oid) END AS BIGINT) FROM {SYSTEM_SCHEMA}.relations
    WHERE replace(lower(n), '"', '') = schema || '.' || name OR
        (replace(lower(n), '"', '') = name AND schema IN (SELECT unnest(current_schemas(false)))));
CREATE OR REPLACE MACRO rs_relname(o) AS (SELECT CASE WHEN schema IN (SELECT unnest(current_schemas(false))) THEN name
    ELSE schema || '.' || name END FROM {SYSTEM_SCHEMA}.relations WHERE oid = o);
{privilege_views.MACROS}
"""

VIEWS = frozenset(_views(""))


def bootstrap(database: str) -> str:
    """Returns the SQL that creates the catalog of this database."""
    views = {
        name: f"CREATE OR REPLACE VIEW {SYSTEM_SCHEMA}.{name} AS {sql};" for name, sql in _ordered(_views(database))
    }
    last = views.pop("pg_table_def")  # it calls the macros
    return "\n".join(
        [
            attributes.BOOTSTRAP,
            dependencies.BOOTSTRAP,
            comments.BOOTSTRAP,
            privilege_views.BOOTSTRAP,
            materialized.BOOTSTRAP,
            *views.values(),
            _MACROS,
            last,
        ]
    )


def _ordered(views: dict[str, str]) -> list[tuple[str, str]]:
    """Returns the views in an order in which each follows the views that it reads."""
    done: list[tuple[str, str]] = []
    left = dict(views)
    while left:
        ready = [
            n
            for n, sql in left.items()
            if not any(re.search(rf"\b{SYSTEM_SCHEMA}\.{o}\b", sql) for o in left if o != n)
        ]
        done += [(name, left.pop(name)) for name in ready]
    return done
