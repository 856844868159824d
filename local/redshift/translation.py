"""Translates statements of Redshift to DuckDB's SQL with the same meaning, and determines their columns."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import exp

from local.redshift.casts import stored
from local.redshift.catalog import SYSTEM_SCHEMA, Column
from local.redshift.errors import SqlError, unsupported
from local.redshift.functions.call import Clock
from local.redshift.names import name_of, split, target_of
from local.redshift.queries import Lookup, Queries, folded
from local.redshift.scopes import Columns, Scope
from local.redshift.types import TEXTS


@dataclass
class Compiled:
    """DuckDB's SQL, the columns of a query, and the target columns whose texts may end with blanks from now on."""

    sql: str
    columns: Columns = field(default_factory=list)
    blanks: set[str] = field(default_factory=set)


class Translator:
    """Compiles statements.

    Args:
        lookup: maps (schema or '', table) to (DuckDB's schema, table, columns).
        facts: database, schema and user, for the functions that return them.
    """

    def __init__(self, sql: str, lookup: Lookup, clock: Clock, facts: dict[str, str]) -> None:
        self.sql, self.lookup, self.clock, self.facts = sql, lookup, clock, facts

    def _queries(self) -> Queries:
        return Queries(self.sql, self.clock, self.facts, self.lookup)

    def query(self, tree: exp.Expr) -> Compiled:
        """Compiles a SELECT or a set operation."""
        holder = exp.Subquery(this=tree.copy())
        columns = self._queries().query(holder.this, Scope())
        folded(holder)
        return Compiled(holder.this.sql("duckdb"), columns)

    def statement(self, tree: exp.Expr) -> Compiled:
        """Compiles a query, INSERT, UPDATE, DELETE, or the query of CREATE TABLE AS."""
        match tree:
            case exp.Create():
                return self.query(tree.expression)
            case exp.Insert():
                return self.insert(tree, self._columns(tree))
            case exp.Update():
                return self.update(tree, self._columns(tree))
            case exp.Delete():
                self._columns(tree)
                return self.delete(tree)
        return self.query(tree)

    def _columns(self, tree: exp.Expr) -> list[Column]:
        """Returns the columns of the target table."""
        place, name, columns = self.lookup(*split(target_of(tree)))
        if place == SYSTEM_SCHEMA:
            raise SqlError(f"ERROR: permission denied for relation {name}")
        return columns

    def default(self, tree: exp.Expr, column: Column) -> str:
        """Compiles a column's DEFAULT to the form in which the column stores it."""
        holder = exp.Paren(this=tree.copy())
        kind = self._queries().visit(holder.this, Scope())
        value, _ = stored(holder.this.copy(), kind, column)
        return str(value.sql("duckdb"))

    def insert(self, tree: exp.Insert, columns: list[Column]) -> Compiled:
        """Compiles INSERT ... VALUES and INSERT ... SELECT."""
        allowed = {"this", "expression", "with_", "default", "hint", "dialect", "columns"}
        if extra := [k for k, v in tree.args.items() if v and k not in allowed]:
            raise unsupported(f"{extra[0].strip('_').upper()} in an INSERT")
        root = exp.Tuple(expressions=[tree.copy()])
        insert = root.expressions[0]
        target = insert.this.this if isinstance(insert.this, exp.Schema) else insert.this
        targets = self._targets(insert, columns)
        blanks: set[str] = set()
        source = insert.expression
        if source is None or tree.args.get("default"):
            folded(root)
            return Compiled(f"INSERT INTO {target.sql('duckdb')} DEFAULT VALUES")
        if isinstance(source, exp.Values):
            self._values(source, targets, blanks)
        else:
            if insert.args.get("with_"):
                source.set("with_", insert.args["with_"])
                insert.set("with_", None)
            self._literals(source, targets)
            compiled = self._queries()
            holder = exp.Subquery(this=source)
            found = compiled.query(holder.this, Scope())
            if len(found) > len(targets):
                raise SqlError("ERROR: INSERT has more expressions than target columns")
            insert.set("expression", self._stored_query(holder.this, found, targets, blanks))
            if len(found) < len(targets):
                targets = targets[: len(found)]
        names = [exp.to_identifier(c.name, quoted=True) for c in targets]
        insert.set("this", exp.Schema(this=target, expressions=names))
        folded(root)
        return Compiled(insert.sql("duckdb"), blanks=blanks)

    def _targets(self, insert: exp.Expr, columns: list[Column]) -> list[Column]:
        if not isinstance(insert.this, exp.Schema):
            return [c for c in columns if not c.identity_of]
        by_name = {c.name: c for c in columns}
        found = []
        for item in insert.this.expressions:
            column = by_name.get(item.name.lower())
            if column is None:
                table = name_of(insert.this.this).rpartition(".")[2]
                raise SqlError(f'ERROR: column "{item.name.lower()}" of relation "{table}" does not exist')
            if column.identity_of:
                raise SqlError(f'ERROR: cannot set an identity column to a value: "{column.name}"')
            found.append(column)
        return found

    @staticmethod
    def _literals(source: exp.Expr, targets: list[Column]) -> None:
        """Casts bare text literals of INSERT ... SELECT to the types of their columns.

        PostgreSQL 8.0, transformInsertStmt: a constant of unknown type in the target list is coerced to the column's
        type. In a set operation or with DISTINCT it is a text.
        """
        if not isinstance(source, exp.Select) or source.args.get("distinct"):
            return
        for item, column in zip(source.expressions, targets, strict=False):
            if item.is_star:
                return
            value = item.this if isinstance(item, exp.Alias) else item
            if value.is_string and column.kind not in {*TEXTS, "SUPER"}:
                value.replace(exp.cast(value.copy(), column.duckdb_type))

    def _values(self, values: exp.Expr, targets: list[Column], blanks: set[str]) -> None:
        queries = self._queries()
        for row in values.expressions:
            if isinstance(row, exp.Paren):
                self._put(row, exp.Tuple(expressions=[row.this]))
        for row in values.expressions:
            if len(row.expressions) > len(targets):
                raise SqlError("ERROR: INSERT has more expressions than target columns")
            for i in range(len(row.expressions)):
                item = row.expressions[i]
                if _is_default(item):
                    self._put(item, exp.Var(this="DEFAULT"))
                    continue
                if len(values.expressions) > 1 and item.find(exp.Query):
                    raise SqlError("ERROR: subqueries are not supported in a multi-row VALUES")
                kind = queries.visit(item, Scope())
                value, ends_blank = stored(row.expressions[i].copy(), kind, targets[i])
                self._put(row.expressions[i], value)
                if ends_blank:
                    blanks.add(targets[i].name)
        width = {len(row.expressions) for row in values.expressions}
        if len(width) > 1:
            raise SqlError("ERROR: VALUES lists must all be the same length")
        del targets[width.pop() :]

    @staticmethod
    def _put(node: exp.Expr, new: exp.Expr) -> None:
        if new is not node:
            place = exp.Placeholder()
            node.replace(place)
            place.replace(new)

    def _stored_query(self, query: exp.Expr, found: Columns, targets: list[Column], blanks: set[str]) -> exp.Expr:
        """Returns the query with each column converted for its target column."""
        names = [f"c{i}" for i in range(len(found))]
        values, changed = [], False
        for name, (_, kind), column in zip(names, found, targets, strict=False):
            node = exp.column(name, table="stored__", quoted=True)
            value, ends_blank = stored(node, kind, column)
            changed = changed or value is not node
            if ends_blank:
                blanks.add(column.name)
            values.append(value)
        if not changed:
            return query
        alias = exp.TableAlias(this=exp.to_identifier("stored__"), columns=[exp.to_identifier(n) for n in names])
        return exp.select(*values).from_(exp.Subquery(this=query, alias=alias))

    def _assignments(
        self, queries: Queries, items: list[exp.Expr], columns: list[Column], scope: Scope, blanks: set[str]
    ) -> None:
        by_name = {c.name: c for c in columns}
        for item in items:
            if not isinstance(item, exp.EQ) or not isinstance(item.this, exp.Column):
                raise unsupported(f"SET {item.sql('redshift')[:80]}")
            column = by_name.get(item.this.name.lower())
            if column is None:
                raise SqlError(f'ERROR: column "{item.this.name.lower()}" does not exist')
            if column.identity_of:
                raise SqlError(f'ERROR: cannot set an identity column to a value: "{column.name}"')
            item.this.set("table", None)
            if _is_default(item.expression):
                item.set("expression", exp.Var(this="DEFAULT"))
                continue
            kind = queries.visit(item.expression, scope)
            value, ends_blank = stored(item.expression.copy(), kind, column)
            item.set("expression", value)
            if ends_blank:
                blanks.add(column.name)

    def update(self, tree: exp.Update, columns: list[Column]) -> Compiled:
        allowed = {"this", "expressions", "from_", "where", "with_"}
        if extra := [k for k, v in tree.args.items() if v and k not in allowed]:
            raise unsupported(f"{extra[0].strip('_').upper()} in an UPDATE")
        root = exp.Tuple(expressions=[tree.copy()])
        update = root.expressions[0]
        queries, scope, blanks = self._queries(), Scope(), set[str]()
        queries._with(update, scope)
        queries._source(update.this, scope)
        if update.args.get("from_"):
            source = update.args["from_"].this
            queries._source(source, scope)
            for more in update.args["from_"].args.get("expressions") or []:
                queries._source(more, scope)
        self._assignments(queries, update.expressions, columns, scope, blanks)
        if update.args.get("where"):
            queries.visit(update.args["where"].this, scope)
        folded(root)
        return Compiled(update.sql("duckdb"), blanks=blanks)

    def delete(self, tree: exp.Delete) -> Compiled:
        allowed = {"this", "using", "where", "with_"}
        if extra := [k for k, v in tree.args.items() if v and k not in allowed]:
            raise unsupported(f"{extra[0].strip('_').upper()} in a DELETE")
        root = exp.Tuple(expressions=[tree.copy()])
        delete = root.expressions[0]
        queries, scope = self._queries(), Scope()
        queries._with(delete, scope)
        queries._source(delete.this, scope)
        for source in delete.args.get("using") or []:
            queries._source(source, scope)
        if delete.args.get("where"):
            queries.visit(delete.args["where"].this, scope)
        folded(root)
        return Compiled(delete.sql("duckdb"))

    def merge(self, tree: exp.Merge, columns: list[Column]) -> tuple[Compiled, str, str]:
        """Returns (the MERGE, a query for target rows with two matching source rows, a query for any match)."""
        root = exp.Tuple(expressions=[tree.copy()])
        merge = root.expressions[0]
        queries, scope, blanks = self._queries(), Scope(), set[str]()
        queries._source(merge.this, scope)
        queries._source(merge.args["using"], scope)
        queries.visit(merge.args["on"], scope)
        source_only = Scope(None, scope.sources[1:])
        for when in merge.args["whens"].expressions:
            then = when.args["then"]
            if isinstance(then, exp.Update):
                self._assignments(queries, then.expressions, columns, scope, blanks)
            elif isinstance(then, exp.Insert):
                self._merge_insert(queries, then, columns, source_only, blanks)
        folded(root)
        target, source, on = merge.this, merge.args["using"], merge.args["on"]
        matched = exp.select("1").from_(target.copy()).join(source.copy(), on=on.copy())
        row = exp.column("rowid", table=exp.to_identifier(target.name, quoted=True))
        doubled = matched.copy().group_by(row).having("COUNT(*) > 1").limit(1)
        return Compiled(merge.sql("duckdb"), blanks=blanks), doubled.sql("duckdb"), matched.limit(1).sql("duckdb")

    def _merge_insert(
        self, queries: Queries, then: exp.Expr, columns: list[Column], scope: Scope, blanks: set[str]
    ) -> None:
        by_name = {c.name: c for c in columns}
        names = [item.name.lower() for item in then.this.expressions]
        if missing := [n for n in names if n not in by_name]:
            raise SqlError(f'ERROR: column "{missing[0]}" does not exist')
        values = then.expression.expressions
        for i in range(len(values)):
            kind = queries.visit(values[i], scope)
            value, ends_blank = stored(values[i].copy(), kind, by_name[names[i]])
            self._put(values[i], value)
            if ends_blank:
                blanks.add(names[i])

    def remove_duplicates(self, tree: exp.Merge) -> tuple[str, str]:
        """Returns (the DELETE of the target's rows that match, the INSERT of the source's rows)."""
        root = exp.Tuple(expressions=[tree.copy()])
        merge = root.expressions[0]
        queries, scope = self._queries(), Scope()
        queries._source(merge.this, scope)
        queries._source(merge.args["using"], scope)
        queries.visit(merge.args["on"], scope)
        folded(root)
        source = merge.args["using"]
        match = exp.select("1").from_(source.copy()).where(merge.args["on"].copy())
        delete = exp.Delete(this=merge.this.copy(), where=exp.Where(this=exp.Exists(this=match)))
        fill = exp.insert(exp.select("*").from_(source.copy()).distinct(), merge.this.copy())
        return delete.sql("duckdb"), fill.sql("duckdb")


def _is_default(node: exp.Expr) -> bool:
    """Returns whether the node is the keyword DEFAULT, which represents the default of the column."""
    name = node.name if isinstance(node, exp.Column | exp.Var) else node.key
    is_quoted = isinstance(node, exp.Column) and (node.args.get("table") or node.this.args.get("quoted"))
    return not is_quoted and not isinstance(node, exp.Literal) and name.upper() == "DEFAULT"
