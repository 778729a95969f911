"""No SQL is put together from strings: statements are constants, and names and values go in through psycopg.

Looked at is every f-string, %, + and .format that begins as a statement, what psycopg.sql.SQL() is given, and casts to
LiteralString, which would tell mypy a lie.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.support.import_graph import project

_STATEMENT = re.compile(
    r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|LISTEN|NOTIFY|SET|CREATE|DROP|ALTER|GRANT|REVOKE|COPY|CALL|WITH"
    r"|TRUNCATE|VACUUM|ANALYZE|EXPLAIN)\s"
)
#: Shown to a person, who types it; its one value is eight digits of a table's name in the catalogue.
SHOWN = {("tools.doctor.database", "SELECT ensure_day_partitions('")}


def built(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and beginning of each statement that is put together from strings."""
    for node in ast.walk(tree):
        text = _beginning(node)
        if text is not None and _STATEMENT.match(text):
            yield node.lineno, text  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and _lies(node):
            yield node.lineno, ast.unparse(node)


def _beginning(node: ast.AST) -> str | None:
    """Return the constant with which a text that is put together begins; None: it is not put together."""
    first: ast.AST | None = None
    if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
        first = node.values[0]
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        first = node.left
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        first = node.func.value
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _lies(call: ast.Call) -> bool:
    """Tell whether a text that is no constant is passed off as one."""
    name = ast.unparse(call.func)
    if name in ("SQL", "sql.SQL", "psycopg.sql.SQL"):
        return not isinstance(call.args[0], ast.Constant)
    return name in ("cast", "typing.cast") and "LiteralString" in ast.unparse(call.args[0])


def test_the_product_builds_no_sql() -> None:
    found = [
        (module.name, line, text)
        for module in project().values()
        for line, text in built(module.tree)
        if (module.name, text) not in SHOWN
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        'f"SELECT * FROM {table}"',
        '"DELETE FROM " + table',
        '"SELECT %s" % name',
        '"DROP TABLE {}".format(name)',
        "sql.SQL(text)",
        "cast(LiteralString, text)",
    ],
)
def test_what_is_built_is_found(source: str) -> None:
    assert list(built(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    ['conn.execute("SELECT %s", [1])', 'sql.SQL("LISTEN {}").format(sql.Identifier(name))', 'f"{a}: {b}"'],
)
def test_what_is_not_built_is_left_alone(source: str) -> None:
    assert not list(built(ast.parse(source)))
