"""Where text becomes SQL."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import lakehouse
from lakehouse.lake.statements import PLACES

PACKAGE = Path(lakehouse.__file__).parent
DOOR = "lakehouse.lake.statements"
SOURCES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path.read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py")
}
PARSES = {"expr", "selectExpr"}
MAY_TAKE_TEXT = {"where", "filter", "merge"}
SPARK = {"spark", "sparkSession", "session"}


def texts(tree: ast.Module) -> set[str]:
    """The names that the module gives to texts, and the parameters and variables that it says are texts."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Constant, ast.JoinedStr)):
            found |= {one.id for one in node.targets if isinstance(one, ast.Name)}
        if isinstance(node, (ast.arg, ast.AnnAssign)) and isinstance(node.annotation, ast.Name):
            name = node.arg if isinstance(node, ast.arg) else getattr(node.target, "id", "")
            found |= {name} if node.annotation.id == "str" else set()
    return found


def is_text(node: ast.expr, names: set[str]) -> bool:
    if isinstance(node, ast.Name):
        return node.id in names
    joins = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join"
    return joins or isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def other_doors(source: str) -> list[str]:
    """Each place in a module where Spark is given SQL as a text but by the one door."""
    tree, found = ast.parse(source), []
    names = texts(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "pyspark.sql.functions":
            found += [one.name for one in node.names if one.name in PARSES]
        if not isinstance(node, ast.Attribute):
            continue
        owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if node.attr in PARSES or (node.attr == "sql" and owner in SPARK):
            found.append(ast.unparse(node))
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in MAY_TAKE_TEXT:
            found += [ast.unparse(call) for argument in call.args[:2] if is_text(argument, names)]
    return found


def test_no_module_gives_spark_a_text_of_sql_but_by_the_one_door():
    found = {name: doors for name, source in SOURCES.items() if (doors := other_doors(source))}
    assert found == {"lake.statements": ["F.expr", "spark.sql", "spark.sql"]}


def test_every_module_that_has_text_made_sql_is_in_the_table():
    users = set()
    for name, source in SOURCES.items():
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom) and node.module == DOOR:
                users |= {name for one in node.names if one.name in ("expression", "run_sql")}
            if isinstance(node, ast.Import):
                assert all(one.name != DOOR for one in node.names)
    assert users == set(PLACES)


@pytest.mark.parametrize(
    "line",
    [
        "F.expr(name)",
        "map(F.expr, names)",
        "from pyspark.sql.functions import expr",
        "rows.selectExpr(name)",
        "spark.sql('SELECT 1')",
        "rows.sparkSession.sql(text)",
        "rows.where('a = 1')",
        "rows.filter(f'{name} = 1')",
        "rows.where(' AND '.join(names))",
        "OPEN = 'a IS NULL'\nrows.where(OPEN)",
        "def f(which: str):\n    rows.where(which)",
        "DeltaTable.forName(spark, 'a').merge(rows, 'a.b = c.b')",
    ],
)
def test_another_door_is_found(line):
    assert other_doors(line)
