"""``lakehouse diff | replay``: what differs between two tables, and a range of the input once more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, end
from lakehouse.errors import LakehouseError, first_line

_DIFFERENT = 1
"""The exit code of two tables that are not equal, as ``diff`` has it."""


@click.command(epilog=EXITS)
@click.argument("a")
@click.argument("b")
@click.option(
    "--keys", metavar="COLUMNS", multiple=True, help="What tells a row, as a,b; else rows are compared whole."
)
@click.option("--columns", metavar="COLUMNS", multiple=True, help="Compare only these columns.")
@click.option("--except", "without", metavar="COLUMNS", multiple=True, help="Leave these columns out.")
@click.option(
    "--examples",
    type=click.IntRange(0, 1000),
    default=5,
    show_default=True,
    help="Rows to show of each difference, with their values; 0 for none.",
)
@ENV
@LAKE
@JSON
def diff(
    a: str,
    b: str,
    *,
    env: str | None,
    lake: str | None,
    as_json: bool,
    examples: int,
    **columns: tuple[str, ...],
) -> NoReturn:
    """Say what differs between A and B: schema.table, schema.table@VERSION, or a path.

    Ends with 0 where they are equal and with 1 where they are not.
    """
    from lakehouse.recovery.diff import diff as compared
    from lakehouse.recovery.diff import names, told
    from lakehouse.runtime.session import settled, start
    from lakehouse.runtime.workplace import surroundings
    from lakehouse.spec.project import Project

    try:
        place, settings = surroundings(Project.around(Path.cwd()), env, lake)
        spark = start("diff", settings)
        chosen = {name: names(texts) for name, texts in columns.items()}
        with settled(spark, settings):
            found = compared(spark, place, a, b, examples=examples, **chosen)
    except Exception as failure:
        error = failure if isinstance(failure, LakehouseError) else LakehouseError(first_line(failure))
        answer: dict[str, Any] = {"status": "failed", "a": {"name": a}, "b": {"name": b}}
        end([(answer, error)], as_json=as_json)
    for line in told(found):
        click.echo(line)
    if as_json:
        click.echo(json.dumps({**found.as_json(), "error": None}))
    sys.stdout.flush()
    raise SystemExit(0 if found.is_equal else _DIFFERENT)
