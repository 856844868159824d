"""Compiles queries and DML to DuckDB's SQL: resolves names, and tracks types through subqueries and WITH."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from sqlglot import exp

from local.redshift import pivots
from local.redshift.catalog import Column
from local.redshift.errors import SqlError, at_word, unsupported
from local.redshift.expressions import Expressions
from local.redshift.functions.call import Clock, func
from local.redshift.names_of_columns import default_name
from local.redshift.scopes import Columns, Scope, Source
from local.redshift.types import Type, common, of_column

Lookup = Callable[[str, str], tuple[str, str, list[Column]]]

_SELECT_PARTS = {
    "with_",
    "expressions",
    "distinct",
    "from_",
    "joins",
    "where",
    "group",
    "having",
    "qualify",
    "order",
    "limit",
    "offset",
    "kind",
    "hint",
    "operation_modifiers",
}
_GROUPING_SETS = (exp.Rollup, exp.Cube, exp.GroupingSets)
_TABLE_PARTS = {"this", "db", "catalog", "alias", "joins", "pivots"}


@dataclass
class Queries(Expressions):
    """Compiles one statement.

    Args:
        lookup: maps (schema or '', table) to (DuckDB's schema or '', table, columns); raises if the table does not
            exist.
    """

    sql: str
    clock: Clock
    facts: dict[str, str]
    lookup: Lookup
    blanks: set[str] = field(default_factory=set)

    # -- queries ------------------------------------------------------------------------------------------------

    def query(self, node: exp.Expr, scope: Scope) -> Columns:
        """Compiles a query in place and returns its columns."""
        if isinstance(node, exp.Subquery):
            extra = [
                k for k, v in node.args.items() if v and k not in {"this", "alias", "with_", "order", "limit", "offset"}
            ]
            if extra:
                raise unsupported(f"{extra[0].upper()} after a subquery")
            inner = Scope(scope)
            self._with(node, inner)
            found = self.query(node.this, inner)
            self._tail(node, found, inner)
            return found
        inner = Scope(scope)
        self._with(node, inner)
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, inner)
        if isinstance(node, exp.Select):
            return self._select(node, inner)
        raise unsupported(f"{node.key.upper()} as a query")

    def _with(self, node: exp.Expr, scope: Scope) -> None:
        with_ = node.args.get("with_")
        if not with_:
            return
        for cte in with_.expressions:
            name = cte.alias.lower()
            names = [c.name.lower() for c in cte.args["alias"].columns]
            query = cte.this
            if with_.args.get("recursive") and isinstance(query, exp.Union) and names:
                first = self.query(query.this, scope)
                scope.ctes[name] = _renamed(first, names)
                second = self.query(query.expression, scope)
                columns = self._matched(query, first, second)
            else:
                columns = self.query(query, scope)
            scope.ctes[name] = _renamed(columns, names)

    def _select(self, node: exp.Expr, scope: Scope) -> Columns:
        if extra := [k for k, v in node.args.items() if v and k not in _SELECT_PARTS]:
            raise unsupported(f"{extra[0].strip('_').upper()} in a SELECT")
        if node.args.get("from_"):
            self._source(node.args["from_"].this, scope)
        for join in node.args.get("joins") or []:
            self._join(join, scope)
        scope.sees_aliases = True
        columns = self._outputs(node, scope)
        scope.sees_aliases = False
        if node.args.get("where"):
            self.visit(node.args["where"].this, scope)
        scope.sees_aliases = True
        if node.args.get("group"):
            self._group(node, scope)
        scope.sees_aliases = False
        if node.args.get("having"):
            self.visit(node.args["having"].this, scope)
        scope.sees_aliases = True
        if node.args.get("qualify"):
            self.visit(node.args["qualify"].this, scope)
        if node.args.get("distinct"):
            columns = self._solid(node, columns)
        self._tail(node, columns, scope)
        if self.blanks and node.args.get("group"):
            self._solid_groups(node)
        return columns

    def _outputs(self, node: exp.Expr, scope: Scope) -> Columns:
        columns: Columns = []
        items = node.expressions
        for i in range(len(items)):
            item = items[i]
            if isinstance(item, exp.Star) or (isinstance(item, exp.Column) and isinstance(item.this, exp.Star)):
                columns += self._star(item, scope)
                continue
            if isinstance(item, exp.Alias):
                name = item.alias.lower()
                kind = self.visit(item.this, scope)
            else:
                name = default_name(item)
                bare = isinstance(item, exp.Column)
                kind = self.visit(item, scope)
                if not (bare and isinstance(items[i], exp.Column)):
                    self.put(items[i], exp.alias_(items[i].copy(), name, quoted=True))
            if kind.is_literal:
                kind = Type("VARCHAR", kind.length, has_blanks=kind.has_blanks)
            columns.append((name, kind))
            scope.aliases.setdefault(name, kind)
        return columns

    def _star(self, item: exp.Expr, scope: Scope) -> Columns:
        star = item if isinstance(item, exp.Star) else item.this
        if star.args.get("replace") or star.args.get("rename"):
            raise unsupported("REPLACE or RENAME of a star")
        excluded = {e.name.lower() for e in star.args.get("except_") or []}
        if isinstance(item, exp.Column):
            source = next((s for s in scope.sources if s.name == item.table.lower()), None)
            if source is None:
                raise SqlError(f'ERROR: relation "{item.table.lower()}" does not exist{at_word(self.sql, item.table)}')
            return [c for c in source.columns if c[0] not in excluded]
        if not scope.sources:
            raise SqlError("ERROR: SELECT * with no tables specified is not valid")
        found: Columns = []
        for source in scope.sources:
            found += [
                c for c in source.columns if c[0] not in excluded and not (c[0] in scope.merged and c[0] in dict(found))
            ]
        return found

    # -- FROM ---------------------------------------------------------------------------------------------------

    def _source(self, node: exp.Expr, scope: Scope) -> None:
        if isinstance(node, exp.Table):
            self._table(node, scope)
        elif isinstance(node, exp.Subquery):
            if not isinstance(node.this, exp.Query):
                self._source(node.this, scope)
            else:
                if node.args.get("pivots"):
                    self._pivoted(node, scope)
                    return
                columns = self.query(node.this, scope)
                names = [c.name.lower() for c in node.args["alias"].columns] if node.args.get("alias") else []
                scope.sources.append(Source(node.alias.lower(), _renamed(columns, names)))
        elif isinstance(node, exp.Paren):
            self._source(node.this, scope)
        else:
            raise unsupported(f"{node.key.upper()} in FROM")
        for join in node.args.get("joins") or []:
            self._join(join, scope)

    def _table(self, node: exp.Table, scope: Scope) -> None:
        if extra := [k for k, v in node.args.items() if v and k not in _TABLE_PARTS]:
            raise unsupported(f"{extra[0].strip('_').upper()} of a table")
        if node.args.get("pivots"):
            self._pivoted(node, scope)
            return
        name, schema = node.name.lower(), node.db.lower()
        if node.catalog and node.catalog.lower() != self.facts["database"]:
            raise unsupported(f"a table of the database {node.catalog}")
        node.set("catalog", None)
        alias = (node.alias or node.name).lower()
        columns = scope.cte(name) if not schema else None
        if columns is None:
            duckdb_schema, table, described = self.lookup(schema, name)
            columns = [(c.name, of_column(c)) for c in described]
            node.set("this", exp.to_identifier(table, quoted=True))
            node.set("db", exp.to_identifier(duckdb_schema, quoted=True) if duckdb_schema else None)
            if not node.alias and table != name:
                node.set("alias", exp.TableAlias(this=exp.to_identifier(alias, quoted=True)))
        names = [c.name.lower() for c in node.args["alias"].columns] if node.args.get("alias") else []
        scope.sources.append(Source(alias, _renamed(columns, names), schema or "public"))

    def _pivoted(self, node: exp.Expr, scope: Scope) -> None:
        holder = exp.Subquery(this=pivots.source_of(node))
        columns = [name for name, _ in self.query(holder.this, scope)]
        made = pivots.rewritten(node, columns)
        self.put(node, made)
        self._source(made, scope)

    def _join(self, join: exp.Expr, scope: Scope) -> None:
        if str(join.args.get("method") or "").upper() == "NATURAL":
            raise unsupported("NATURAL JOIN")
        before = len(scope.sources)
        self._source(join.this, scope)
        if join.args.get("using"):
            for column in join.args["using"]:
                name = column.name.lower()
                kinds = [kind for s in scope.sources for n, kind in s.columns if n == name]
                if any(kind.has_blanks for kind in kinds):
                    raise unsupported("JOIN ... USING of texts that may end with blanks: write ON")
                if all(s.get(name) is None for s in scope.sources[before:]):
                    raise SqlError(f'ERROR: column "{name}" does not exist{at_word(self.sql, name)}')
                scope.merged.add(name)
        if join.args.get("on"):
            self.visit(join.args["on"], scope)

    # -- groups, order ------------------------------------------------------------------------------------------

    def _group(self, node: exp.Expr, scope: Scope) -> None:
        group = node.args["group"]
        if extra := [k for k, v in group.args.items() if v and k not in {"expressions", "all"}]:
            raise unsupported(f"GROUP BY {extra[0].upper()}")
        for i in range(len(group.expressions)):
            self._group_item(node, group.expressions, i, scope)

    def _group_item(self, node: exp.Expr, items: list[exp.Expr], i: int, scope: Scope) -> None:
        while isinstance(items[i], exp.Paren):
            self.put(items[i], items[i].this)
        item = items[i]
        in_sets = item.find_ancestor(*_GROUPING_SETS) is not None
        if isinstance(item, _GROUPING_SETS) or (in_sets and isinstance(item, exp.Tuple)):
            for j in range(len(item.expressions)):
                self._group_item(node, item.expressions, j, scope)
            return
        if in_sets and isinstance(item, exp.Literal):
            raise unsupported("a position in ROLLUP, CUBE or GROUPING SETS")
        if isinstance(item, exp.Literal) and not item.is_string:
            place = int(item.name) - 1
            if not 0 <= place < len(node.expressions) or node.is_star:
                return
            value = node.expressions[place]
            value = value.this if isinstance(value, exp.Alias) else value
            kind = list(scope.aliases.values())[place] if len(scope.aliases) == len(node.expressions) else None
            if kind is None or kind.has_blanks:
                self.blanks.add(value.sql("duckdb")) if kind else None
            return
        alias = item.name.lower() if isinstance(item, exp.Column) and not item.table else ""
        kind = self.visit(item, scope) if not isinstance(item, exp.Tuple) else self.row(item, scope)
        if not kind.has_blanks:
            return
        if alias and all(s.get(alias) is None for s in scope.sources):
            value = next(e for e in node.expressions if e.alias_or_name.lower() == alias)
            self.blanks.add((value.this if isinstance(value, exp.Alias) else value).sql("duckdb"))
        else:
            self.blanks.add(items[i].sql("duckdb"))
            if isinstance(items[i], exp.Column):
                self.blanks.add(_without_table(items[i]))

    def _solid_groups(self, node: exp.Expr) -> None:
        """Guards grouped texts that may end with blanks, because trailing blanks do not separate groups on Redshift."""
        wanted, self.blanks = self.blanks, set()
        for item in list(node.expressions):
            if isinstance(item, exp.Column) and self._is_wanted(item, wanted):
                self.put(item, exp.alias_(item.copy(), item.name, quoted=True))  # ORDER BY finds it by its name
        parts = [
            *node.expressions,
            node.args["group"],
            *(node.args[k] for k in ("having", "qualify", "order") if node.args.get(k)),
        ]
        for part in parts:
            self._guard(part, wanted)

    def _guard(self, node: exp.Expr, wanted: set[str]) -> None:
        if self._is_wanted(node, wanted):
            self.put(node, func("rs_solid", node.copy()))
            return
        for child in list(node.iter_expressions()):
            self._guard(child, wanted)

    def _is_wanted(self, node: exp.Expr, wanted: set[str]) -> bool:
        if isinstance(node, exp.Alias | exp.Identifier):
            return False
        names = {node.sql("duckdb")}
        if isinstance(node, exp.Column):  # it is the same with the name of its table and without
            names.add(node.this.sql("duckdb") if node.table else _without_table(node))
        return not names.isdisjoint(wanted)

    def _solid(self, node: exp.Expr, columns: Columns) -> Columns:
        """Guards columns that may end with blanks in DISTINCT and set operations."""
        if not any(kind.has_blanks for _, kind in columns):
            return columns
        if isinstance(node, exp.Subquery):
            return self._solid(node.this, columns)
        if isinstance(node, exp.SetOperation):
            self._solid(node.this, columns)
            return self._solid(node.expression, columns)
        if len(node.expressions) != len(columns) or node.is_star:
            raise unsupported("DISTINCT rows of a star whose texts may end with blanks: name and TRIM them")
        for i, (name, kind) in enumerate(columns):
            if kind.has_blanks:
                value = node.expressions[i]
                value = value.this if isinstance(value, exp.Alias) else value
                self.put(node.expressions[i], exp.alias_(func("rs_solid", value.copy()), name, quoted=True))
        return [(name, Type(k.kind, k.length, k.precision, k.scale)) for name, k in columns]

    def _tail(self, node: exp.Expr, columns: Columns, scope: Scope) -> None:
        order = node.args.get("order")
        scope.sees_aliases = True
        if order and not isinstance(node, exp.Select):
            scope = Scope(scope.parent, [Source("", columns)])
        for item in order.expressions if order else []:
            if isinstance(item.this, exp.Literal):
                if item.this.is_string:
                    raise SqlError("ERROR: non-integer constant in ORDER BY")
                continue
            alias = item.this.name.lower() if isinstance(item.this, exp.Column) and not item.this.table else ""
            if alias and alias in scope.aliases:
                item.this.set("this", exp.to_identifier(alias, quoted=True))
                continue
            kind = self.visit(item.this, scope)
            if kind.has_blanks and not node.args.get("distinct") and not node.args.get("group"):
                item.set("this", func("rtrim", item.this, " "))
        for key in ("limit", "offset"):
            if node.args.get(key) and not isinstance(node.args[key].expression, exp.Literal):
                raise unsupported(f"{key.upper()} that is no number")

    def _set_operation(self, node: exp.Expr, scope: Scope) -> Columns:
        extra = {"this", "expression", "distinct", "with_", "order", "limit", "offset"}
        if found := [k for k, v in node.args.items() if v and k not in extra]:
            raise unsupported(f"{found[0].strip('_').upper()} of a set operation")
        left, right = self.query(node.this, scope), self.query(node.expression, scope)
        columns = self._matched(node, left, right)
        if node.args.get("distinct"):
            columns = self._solid(node, columns)
        self._tail(node, columns, scope)
        return columns

    def _matched(self, node: exp.Expr, left: Columns, right: Columns) -> Columns:
        word = type(node).__name__.upper()
        if len(left) != len(right):
            raise SqlError(f"ERROR: each {word} query must have the same number of columns")
        return [(name, common([a, b], word)) for (name, a), (_, b) in zip(left, right, strict=True)]


def _without_table(column: exp.Column) -> str:
    """Returns the mark of a grouped column, by which its name without that of its table is known."""
    return f"*.{column.this.sql('duckdb')}"


def _renamed(columns: Columns, names: list[str]) -> Columns:
    if len(names) > len(columns):
        raise SqlError(f"ERROR: table has {len(columns)} columns available but {len(names)} columns specified")
    return [(name, kind) for name, (_, kind) in zip(names, columns, strict=False)] + columns[len(names) :]


def folded(tree: exp.Expr) -> None:
    """Folds names to lower case and quotes them: Redshift folds quoted names, too, and DuckDB reserves other words."""
    for identifier in tree.find_all(exp.Identifier):
        identifier.set("this", identifier.name.lower())
        identifier.set("quoted", True)
