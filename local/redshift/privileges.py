"""Users, groups and roles, and the privileges that were granted to them.

Grants are stored and shown, but not enforced, because the only user who can log in here is a superuser. A user who
could log in can therefore not be created. Source: Redshift Developer Guide, GRANT, REVOKE, CREATE ROLE, CREATE GROUP,
CREATE USER, SVV_RELATION_PRIVILEGES.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from local.redshift.catalog import SYSTEM_SCHEMA
from local.redshift.errors import SqlError, unsupported
from local.redshift.names import DDL_LOCK
from local.redshift.privilege_views import FIRST_ID, GRANTS, IDENTITIES, MEMBERS, OF_KIND, SUPERUSERS, SYSTEM_ROLES
from local.redshift.reader import Reader
from local.redshift.results import Result

if TYPE_CHECKING:
    from local.redshift.session import Session


@dataclass(frozen=True)
class Grantee:
    kind: str
    name: str
    has_option: bool = False


def is_about_identities(words: tuple[str, ...]) -> bool:
    return words[:1] in {("CREATE",), ("DROP",), ("ALTER",)} and words[1:2] in {("USER",), ("GROUP",), ("ROLE",)}


def command(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs CREATE, ALTER or DROP of a user, a group or a role."""
    reader = Reader(sql)
    _change(session)
    verb = reader.one_of({"CREATE", "DROP", "ALTER"})
    kind = str(reader.one_of({"USER", "GROUP", "ROLE"})).lower()
    if verb == "ALTER" and kind != "group":
        raise unsupported(f"ALTER {kind.upper()}")
    exists = verb == "DROP" and reader.accept("IF", "EXISTS")
    name = reader.name()
    if verb == "CREATE":
        _create(session, kind, name, reader)
    elif verb == "ALTER":
        _alter_group(session, name, reader)
    else:
        _drop(session, kind, name, reader, exists)
    return Result(touched=0)


def _change(session: Session) -> None:
    session.lock([DDL_LOCK])
    session.begin()


def _is_known(session: Session, kind: str, name: str) -> bool:
    if kind == "user" and name in {user.lower() for user in SUPERUSERS}:
        return True
    found = session.con.execute(f"SELECT 1 FROM {IDENTITIES} WHERE kind = ? AND name = ?", [kind, name]).fetchone()
    return found is not None


def _require(session: Session, kind: str, name: str) -> None:
    if kind != "public" and not _is_known(session, kind, name):
        raise SqlError(f'ERROR: {kind} "{name}" does not exist')


def _create(session: Session, kind: str, name: str, reader: Reader) -> None:
    if _is_known(session, kind, name) or (kind != "group" and _is_known(session, "user", name)):
        raise SqlError(f'ERROR: {kind} "{name}" already exists')
    members: list[tuple[str, str]] = []
    if kind == "user":
        reader.accept("WITH")
        reader.expect("PASSWORD")
        if not reader.accept("DISABLE"):
            raise unsupported("a user who logs in: write PASSWORD DISABLE")
    elif kind == "group":
        reader.accept("WITH")
        if reader.accept("USER"):
            members = [(name, user) for user in _names(reader)]
    reader.end()
    session.con.execute(
        f"INSERT INTO {IDENTITIES} SELECT greatest(max(id), {FIRST_ID - 1}) + 1, ?, ? FROM {IDENTITIES}", [name, kind]
    )
    for group, user in members:
        _join(session, group, user)


def _names(reader: Reader) -> list[str]:
    names = [reader.name()]
    while reader.accept(","):
        names.append(reader.name())
    return names


def _join(session: Session, group: str, user: str) -> None:
    _require(session, "user", user)
    _leave(session, group, user)
    session.con.execute(f"INSERT INTO {MEMBERS} VALUES (?, 'group', ?, 'user', FALSE)", [group, user])


def _leave(session: Session, group: str, user: str) -> None:
    session.con.execute(
        f"DELETE FROM {MEMBERS} WHERE owner = ? AND owner_kind = 'group' AND name = ? AND kind = 'user'", [group, user]
    )


def _alter_group(session: Session, name: str, reader: Reader) -> None:
    _require(session, "group", name)
    adds = reader.accept("ADD", "USER")
    if not adds and not reader.accept("DROP", "USER"):
        raise unsupported("ALTER GROUP but for ADD USER and DROP USER")
    users = _names(reader)
    reader.end()
    for user in users:
        _require(session, "user", user)
        (_join if adds else _leave)(session, name, user)


def _drop(session: Session, kind: str, name: str, reader: Reader, exists: bool) -> None:
    is_forced = kind == "role" and reader.accept("FORCE")
    if not is_forced and kind == "role":
        reader.accept("RESTRICT")
    reader.end()
    if not _is_known(session, kind, name):
        if exists:
            return
        raise SqlError(f'ERROR: {kind} "{name}" does not exist')
    if name in {user.lower() for user in SUPERUSERS} or name in SYSTEM_ROLES:
        raise SqlError(f'ERROR: {kind} "{name}" cannot be dropped')
    has = f"SELECT 1 FROM {GRANTS} WHERE identity_kind = ? AND identity = ?"
    if kind != "role" and session.con.execute(has, [kind, name]).fetchone():
        raise SqlError(f'ERROR: {kind} "{name}" cannot be dropped because it has a privilege on some object')
    if kind == "role" and not is_forced:
        given = f"SELECT kind FROM {MEMBERS} WHERE owner_kind = 'role' AND owner = ?"
        if found := session.con.execute(given, [name]).fetchone():
            raise SqlError(f"ERROR: cannot drop this role since it has been granted on a {found[0]}")
    session.con.execute(f"DELETE FROM {GRANTS} WHERE identity_kind = ? AND identity = ?", [kind, name])
    session.con.execute(
        f"DELETE FROM {MEMBERS} WHERE (owner_kind = ? AND owner = ?) OR (kind = ? AND name = ?)", [kind, name] * 2
    )
    session.con.execute(f"DELETE FROM {IDENTITIES} WHERE kind = ? AND name = ?", [kind, name])


# -- GRANT and REVOKE -------------------------------------------------------------------------------------------


def grant(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs GRANT.

    Raises:
        SqlError: A name does not exist, a privilege does not apply to the object, or a form is not supported here.
    """
    reader = Reader(sql)
    _change(session)
    reader.expect("GRANT")
    if reader.accept("ROLE"):
        roles = _roles(reader)
        for grantee in _grantees(session, reader, "TO", "ADMIN"):
            for role in roles:
                _give_role(session, role, grantee)
        return Result(touched=0)
    privileges, objects, kind = _what(session, reader, "GRANT")
    for grantee in _grantees(session, reader, "TO", "GRANT"):
        for place, name in objects:
            for privilege in privileges:
                _take(session, kind, place, name, privilege, grantee)
                session.con.execute(
                    f"INSERT INTO {GRANTS} VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [kind, place, name, privilege, grantee.kind, grantee.name, grantee.has_option],
                )
    return Result(touched=0)


def revoke(session: Session, sql: str, in_transaction: bool) -> Result:
    """Runs REVOKE. Raises SqlError like `grant`."""
    reader = Reader(sql)
    _change(session)
    reader.expect("REVOKE")
    is_option_only = reader.accept("GRANT", "OPTION", "FOR") or reader.accept("ADMIN", "OPTION", "FOR")
    if reader.accept("ROLE"):
        if is_option_only:
            raise unsupported("REVOKE ADMIN OPTION FOR")
        roles = _roles(reader)
        for grantee in _grantees(session, reader, "FROM", ""):
            for role in roles:
                _require(session, "role", role)
                session.con.execute(
                    f"DELETE FROM {MEMBERS} WHERE owner = ? AND owner_kind = 'role' AND name = ? AND kind = ?",
                    [role, grantee.name, grantee.kind],
                )
        return Result(touched=0)
    privileges, objects, kind = _what(session, reader, "REVOKE")
    for grantee in _grantees(session, reader, "FROM", ""):
        for place, name in objects:
            for privilege in privileges:
                _take(session, kind, place, name, privilege, grantee, option_only=is_option_only)
    return Result(touched=0)


def _roles(reader: Reader) -> list[str]:
    roles = [reader.name()]
    while reader.accept(","):
        reader.accept("ROLE")
        roles.append(reader.name())
    return roles


def _what(session: Session, reader: Reader, verb: str) -> tuple[list[str], list[tuple[str, str | None]], str]:
    """Returns the privileges, the objects as (schema or database, name or None), and the kind of object."""
    words: list[str] = []
    is_all = reader.accept("ALL")
    if is_all:
        reader.accept("PRIVILEGES")
    else:
        words = [reader.name().upper()]
        while reader.accept(","):
            words.append(reader.name().upper())
    if reader.accept("("):
        raise unsupported(f"{verb} of columns")
    if not reader.accept("ON"):
        raise unsupported(f"{verb} {' '.join(words) or 'ALL'} without ON")
    for other in ("FUNCTION", "PROCEDURE", "LANGUAGE", "MODEL", "DATASHARE", "EXTERNAL", "COPY"):
        if reader.accept(other):
            raise unsupported(f"{verb} ON {other}")
    kind, objects = _objects(session, reader)
    words = ["TEMPORARY" if kind == "database" and word == "TEMP" else word for word in words]
    if wrong := [word for word in words if word not in OF_KIND[kind]]:
        raise SqlError(f"ERROR: invalid privilege type {wrong[0]} for {kind}")
    return list(OF_KIND[kind]) if is_all else words, objects, kind


def _objects(session: Session, reader: Reader) -> tuple[str, list[tuple[str, str | None]]]:
    """Returns the kind of the objects after ON, and the objects."""
    objects: list[tuple[str, str | None]] = []
    if reader.accept("ALL", "TABLES", "IN", "SCHEMA"):
        for schema in _names(reader):
            _require_schema(session, schema)
            found = f"SELECT name FROM {SYSTEM_SCHEMA}.relations WHERE schema = ? ORDER BY name"
            objects += [(schema, name) for (name,) in session.con.execute(found, [schema]).fetchall()]
        return "relation", objects
    if reader.accept("SCHEMA"):
        for schema in _names(reader):
            _require_schema(session, schema)
            objects.append((schema, None))
        return "schema", objects
    if reader.accept("DATABASE"):
        for database in _names(reader):
            if database != session.engine.database_name:
                raise SqlError(f'ERROR: database "{database}" does not exist')
            objects.append((database, None))
        return "database", objects
    reader.accept("TABLE")
    objects.append(_relation(session, reader))
    while reader.accept(","):
        objects.append(_relation(session, reader))
    return "relation", objects


def _require_schema(session: Session, schema: str) -> None:
    if not session.con.execute(f"SELECT 1 FROM {SYSTEM_SCHEMA}.pg_namespace WHERE nspname = ?", [schema]).fetchone():
        raise SqlError(f'ERROR: schema "{schema}" does not exist')


def _relation(session: Session, reader: Reader) -> tuple[str, str]:
    path = reader.path()
    place, name, _ = session.lookup(path[-2] if len(path) > 1 else "", path[-1])
    if place in {"", SYSTEM_SCHEMA}:
        raise unsupported(f"GRANT on {'.'.join(path)}, which is temporary or the system's,")
    return place, name


def _grantees(session: Session, reader: Reader, word: str, option: str) -> list[Grantee]:
    reader.expect(word)
    found = []
    while True:
        if reader.accept("ROLE"):
            kind, name = "role", reader.name()
        elif reader.accept("GROUP"):
            kind, name = "group", reader.name()
        elif reader.accept("PUBLIC"):
            kind, name = "public", "public"
        else:
            kind, name = "user", reader.name()
        _require(session, kind, name)
        has_option = bool(option) and reader.accept("WITH", option, "OPTION")
        if has_option and kind != "user":
            raise SqlError(f"ERROR: {option.lower()} options can only be granted to individual users")
        found.append(Grantee(kind, name, has_option))
        if not reader.accept(","):
            break
    reader.accept("RESTRICT")
    reader.end()
    return found


def _take(
    session: Session,
    kind: str,
    place: str,
    name: str | None,
    privilege: str,
    grantee: Grantee,
    option_only: bool = False,
) -> None:
    where = (
        "WHERE kind = ? AND table_schema = ? AND table_name IS NOT DISTINCT FROM ? AND privilege = ? AND identity_kind = ? "
        "AND identity = ?"
    )
    change = f"UPDATE {GRANTS} SET admin_option = FALSE" if option_only else f"DELETE FROM {GRANTS}"
    session.con.execute(f"{change} {where}", [kind, place, name, privilege, grantee.kind, grantee.name])


def _give_role(session: Session, role: str, grantee: Grantee) -> None:
    _require(session, "role", role)
    if grantee.kind not in {"user", "role"}:
        raise unsupported(f"GRANT ROLE to {grantee.kind.upper()}")
    above = f"""WITH RECURSIVE up(name) AS (SELECT CAST(? AS VARCHAR) UNION SELECT m.owner FROM {MEMBERS} m JOIN up
        ON m.kind = 'role' AND m.owner_kind = 'role' AND m.name = up.name) SELECT 1 FROM up WHERE name = ?"""
    if grantee.kind == "role" and session.con.execute(above, [role, grantee.name]).fetchone():
        raise SqlError("ERROR: cannot grant this role, a circular dependency was detected between these roles")
    session.con.execute(
        f"DELETE FROM {MEMBERS} WHERE owner = ? AND owner_kind = 'role' AND name = ? AND kind = ?",
        [role, grantee.name, grantee.kind],
    )
    session.con.execute(
        f"INSERT INTO {MEMBERS} VALUES (?, 'role', ?, ?, ?)", [role, grantee.name, grantee.kind, grantee.has_option]
    )
