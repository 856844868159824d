"""Types of the system catalog with the OIDs of PostgreSQL 8.0, and Redshift's names of types and encodings."""

from __future__ import annotations

from local.redshift.catalog import SYSTEM_SCHEMA

# OID, name, length, category (b: base), element, as in PostgreSQL 8.0's pg_type, and Redshift's own.
TYPES = [
    (16, "bool", 1, 0),
    (17, "bytea", -1, 0),
    (18, "char", 1, 0),
    (19, "name", 64, 0),
    (20, "int8", 8, 0),
    (21, "int2", 2, 0),
    (22, "int2vector", 64, 21),
    (23, "int4", 4, 0),
    (24, "regproc", 4, 0),
    (25, "text", -1, 0),
    (26, "oid", 4, 0),
    (30, "oidvector", 128, 26),
    (700, "float4", 4, 0),
    (701, "float8", 8, 0),
    (705, "unknown", -2, 0),
    (1000, "_bool", -1, 16),
    (1005, "_int2", -1, 21),
    (1007, "_int4", -1, 23),
    (1009, "_text", -1, 25),
    (1015, "_varchar", -1, 1043),
    (1016, "_int8", -1, 20),
    (1021, "_float4", -1, 700),
    (1022, "_float8", -1, 701),
    (1028, "_oid", -1, 26),
    (1042, "bpchar", -1, 0),
    (1043, "varchar", -1, 0),
    (1082, "date", 4, 0),
    (1083, "time", 8, 0),
    (1114, "timestamp", 8, 0),
    (1184, "timestamptz", 8, 0),
    (1186, "interval", 12, 0),
    (1231, "_numeric", -1, 1700),
    (1266, "timetz", 12, 0),
    (1700, "numeric", -1, 0),
    (2205, "regclass", 4, 0),
    (2206, "regtype", 4, 0),
    (2278, "void", 4, 0),
    (4000, "super", -1, 0),
    (6551, "varbyte", -1, 0),
]
KIND_OIDS = {
    "BOOLEAN": 16,
    "BIGINT": 20,
    "SMALLINT": 21,
    "INT": 23,
    "FLOAT": 700,
    "DOUBLE": 701,
    "CHAR": 1042,
    "VARCHAR": 1043,
    "DATE": 1082,
    "TIME": 1083,
    "TIMESTAMP": 1114,
    "TIMESTAMPTZ": 1184,
    "TIMETZ": 1266,
    "DECIMAL": 1700,
    "SUPER": 4000,
    "VARBINARY": 6551,
}
FORMATS = {
    16: "boolean",
    18: '"char"',
    20: "bigint",
    21: "smallint",
    23: "integer",
    700: "real",
    701: "double precision",
    1042: "character",
    1043: "character varying",
    1083: "time without time zone",
    1114: "timestamp without time zone",
    1184: "timestamp with time zone",
    1266: "time with time zone",
    6551: "binary varying",
}


# Values of attencodingtype. The numbers are specific to Redshift; format_encoding() maps them to names.
ENCODINGS = (
    "['none', 'az64', 'bytedict', 'delta', 'delta32k', 'lzo', 'mostly8', 'mostly16', 'mostly32', 'runlength', 'text255', "
    "'text32k', 'zstd']"
)
# The encoding of a column that declares none (Database Developer Guide, CREATE TABLE, ENCODE).
DEFAULT_ENCODING = (
    "WHEN e.encoding IS NOT NULL AND e.encoding <> 'auto' THEN e.encoding "
    "WHEN list_contains(a.sortkey, c.name) THEN 'none' "
    "WHEN c.kind IN ('BOOLEAN', 'FLOAT', 'DOUBLE') THEN 'none' "
    "WHEN c.kind IN ('SMALLINT', 'INT', 'BIGINT', 'DECIMAL', 'DATE', 'TIMESTAMP', 'TIMESTAMPTZ') THEN 'az64' "
    "WHEN c.kind IN ('CHAR', 'VARCHAR') THEN 'lzo' ELSE 'none'"
)


def words(column: str, table: dict[str, str]) -> str:
    return f"CASE {column} " + " ".join(f"WHEN '{k}' THEN '{v}'" for k, v in table.items()) + " END"


def empty(columns: str) -> str:
    """Returns the SQL of a view without rows; columns are text unless another type is given."""
    pairs = [(word.partition(":")[0], word.partition(":")[2] or "VARCHAR") for word in columns.split()]
    return "SELECT " + ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in pairs) + " WHERE FALSE"


DATA_TYPE = words(
    "kind",
    {
        "VARCHAR": "character varying",
        "CHAR": "character",
        "INT": "integer",
        "DECIMAL": "numeric",
        "DOUBLE": "double precision",
        "FLOAT": "real",
        "TIMESTAMP": "timestamp without time zone",
        "TIMESTAMPTZ": "timestamp with time zone",
        "TIME": "time without time zone",
        "TIMETZ": "time with time zone",
        "VARBINARY": "binary varying",
        "BIGINT": "bigint",
        "SMALLINT": "smallint",
        "BOOLEAN": "boolean",
        "DATE": "date",
        "SUPER": "super",
    },
)
PRECISION = (
    "CASE kind WHEN 'DECIMAL' THEN precision WHEN 'SMALLINT' THEN 16 WHEN 'INT' THEN 32 WHEN 'BIGINT' THEN 64 "
    "WHEN 'FLOAT' THEN 24 WHEN 'DOUBLE' THEN 53 END"
)
SCALE = "CASE WHEN kind = 'DECIMAL' THEN scale WHEN kind IN ('SMALLINT', 'INT', 'BIGINT') THEN 0 END"
COLUMNS = f"""
    c.table_schema, c.table_name, c.name AS column_name, c.position AS ordinal_position,
    CASE WHEN c.identity_of IS NOT NULL THEN '"identity"' ELSE c.default_sql END AS column_default,
    CASE WHEN c.nullable THEN 'YES' ELSE 'NO' END AS is_nullable, {DATA_TYPE} AS data_type,
    CASE WHEN kind IN ('VARCHAR', 'CHAR') THEN c.length END AS character_maximum_length,
    {PRECISION} AS numeric_precision, CASE WHEN kind IN ('SMALLINT', 'INT', 'BIGINT', 'FLOAT', 'DOUBLE') THEN 2 WHEN kind = 'DECIMAL'
    THEN 10 END AS numeric_precision_radix, {SCALE} AS numeric_scale,
    CASE WHEN kind IN ('TIMESTAMP', 'TIMESTAMPTZ', 'TIME', 'TIMETZ') THEN 6 END AS datetime_precision"""


FORMAT_TYPE = (
    "CASE t WHEN 1043 THEN 'character varying' || CASE WHEN m > 4 THEN '(' || (m - 4) || ')' ELSE '' END "
    "WHEN 1042 THEN 'character' || CASE WHEN m > 4 THEN '(' || (m - 4) || ')' ELSE '' END "
    "WHEN 1700 THEN 'numeric' || CASE WHEN m > 4 THEN '(' || ((m - 4) // 65536) || ',' || ((m - 4) % 65536) || ')' ELSE '' END "
    + " ".join(f"WHEN {oid} THEN '{name}'" for oid, name in FORMATS.items() if oid not in {1042, 1043})
    + f" ELSE (SELECT typname FROM {SYSTEM_SCHEMA}.pg_type WHERE oid = t) END"
)
