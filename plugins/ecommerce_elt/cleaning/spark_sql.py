"""The cleaning as Spark SQL, translated from the DuckDB definition when the Glue job is deployed.

Spark's functions differ from DuckDB's in a few places. Each is translated so that it gives DuckDB's result:

- A time with a zone must have seconds in Spark.
- A group of a regular expression is $1 in a replacement, not \\1.
- DuckDB's TRIM removes every blank of Unicode's category Zs; Spark's removes only U+0020.
"""

from __future__ import annotations

import re

from sqlglot import exp

from ecommerce_elt.cleaning.stages import cleaning_stages
from ecommerce_elt.feeds.contracts import Contract

WITHOUT_SECONDS = r"^([^ T]+[ T][0-9]+:[0-9]+)(Z| UTC|[+-].*)$"
GROUP = re.compile(r"\\([1-9])")
BLANKS = "\u0020\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"


def _to_spark(node: exp.Expr) -> exp.Expr:
    match node:
        case exp.Trim() if node.expression is None:
            node.set("expression", exp.Literal.string(BLANKS))  # in place, because transform does not visit a new node
            node.set("position", "BOTH")
        case exp.TryCast() if node.to.is_type("timestamptz"):
            seconds = exp.RegexpReplace(
                this=node.this,
                expression=exp.Literal.string(WITHOUT_SECONDS),
                replacement=exp.Literal.string("$1:00$2"),
            )
            node.set("this", seconds)
        case exp.RegexpReplace() if isinstance(node.args["replacement"], exp.Literal):
            node.set("replacement", exp.Literal.string(GROUP.sub(r"$\1", node.args["replacement"].this)))
        case exp.Parameter():
            return exp.Placeholder(this=node.name)
    return node


def spark_cleaning(contract: Contract, clean_sql: str) -> dict[str, str]:
    """Returns the whole cleaning of one feed as Spark SQL over the view `events`.

    Args:
        contract: the feed's contract.
        clean_sql: text of `include/sql/clean/<feed>.sql`.

    Returns:
        The queries by name, as in `stages.cleaning_stages`, with `:hmac_inner_pad` and `:hmac_outer_pad` if the
        feed has columns under HMAC.
    """
    stages = cleaning_stages(contract, clean_sql)
    return {name: query.transform(_to_spark).sql("spark", pretty=True) for name, query in stages.items()}
