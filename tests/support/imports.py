"""What a file imports."""

import ast
from collections.abc import Iterator
from pathlib import Path


def imported_at_run_time(path: Path) -> Iterator[str]:
    """Yields the dotted names of the modules that a file imports, without those that only the type checker reads."""
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
