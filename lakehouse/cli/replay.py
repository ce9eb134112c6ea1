"""``lakehouse diff | replay``: what differs between two tables, and a range of the input once more."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, end, workplace

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
        from lakehouse.lake.faults import typed

        error = typed(failure)
        answer: dict[str, Any] = {"status": "failed", "a": {"name": a}, "b": {"name": b}}
        end([(answer, error)], as_json=as_json)
    for line in told(found):
        click.echo(line)
    if as_json:
        click.echo(json.dumps({**found.as_json(), "error": None}))
    sys.stdout.flush()
    raise SystemExit(0 if found.is_equal else _DIFFERENT)


@click.command(epilog=EXITS)
@click.argument("job")
@click.option("--from", "begin", metavar="TIME", required=True, help="Where it begins, such as 2026-11-01T00:00:00Z.")
@click.option(
    "--to", "finish", metavar="TIME", required=True, help="Where it ends: what came at that time is none of it."
)
@click.option("--into", metavar="TABLE", help="A new table (schema.table), in the place of the job's own.")
@click.option("--allow-missing", is_flag=True, help="Go on where some of what the job once read is gone or rewritten.")
@click.option("--dry-run", is_flag=True, help="Say what would be replayed, and do nothing.")
@ENV
@LAKE
@PARAM
@JSON
def replay(
    job: str,
    *,
    begin: str,
    finish: str,
    into: str | None,
    allow_missing: bool,
    dry_run: bool,
    as_json: bool,
    **where: Any,
) -> NoReturn:
    """Run again what came for JOB from one time to another.

    The time is that of a file's modification, a record's timestamp, or the commit of a source table. It goes into the
    job's own table where that ends in the same rows, or --into a new one. Where it is killed, the same command goes on.
    """
    from lakehouse.recovery.replay import replay as run_again
    from lakehouse.recovery.replay import span, told
    from lakehouse.runtime.progress import Progress
    from lakehouse.runtime.stop import told_by_signals

    def action() -> Answer:
        part = span(begin, finish)
        work = workplace(job, **where)
        how: dict[str, Any] = {"into": into, "allow_missing": allow_missing, "dry_run": dry_run}
        with told_by_signals() as stop:
            report = run_again(work, part, stop=stop, progress=Progress(), **how)
        for line in told(report):
            click.echo(line)
        return report.as_json(), report.error

    answered({"job": job, "status": "failed", "dry_run": dry_run, "run": None}, action, as_json=as_json)
