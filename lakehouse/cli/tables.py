"""``lakehouse maintain | quarantine``: what is done to tables between the runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from lakehouse.runtime.discard import Closed
    from lakehouse.runtime.maintain import Cared


@click.command(epilog=EXITS)
@click.argument("names", nargs=-1, metavar="[JOB|TABLE]...")
@ENV
@LAKE
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--retain", metavar="TIME", help="Keep files that left a table for so long; '7 days' where not said.")
@click.option("--allow-short", is_flag=True, help="Allow less than 7 days, while no job of the lake is running.")
@JSON
def maintain(
    names: tuple[str, ...],
    *,
    env: str | None,
    lake: str | None,
    dry_run: bool,
    retain: str | None,
    allow_short: bool,
    as_json: bool,
) -> NoReturn:
    """Look after the tables of JOBs (all of the project, where none is named), or after a TABLE (schema.table).

    Forgets old events, purges deleted rows, brings small files together and removes files that nobody needs, each where
    it pays. It runs beside the jobs: no row that readers see changes.
    """
    from lakehouse.runtime.maintain import maintain, plan
    from lakehouse.runtime.progress import cared_for

    def say(cared: Cared) -> None:
        for line in cared_for(cared):
            click.echo(line)

    def action() -> Answer:
        asked = plan(retain=retain, allow_short=allow_short, dry_run=dry_run)
        report = maintain(names, asked, env=env, lake=lake, say=say)
        return report.as_json(), report.error

    answered({"status": "failed", "dry_run": dry_run, "tables": []}, action, as_json=as_json)


_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
_WHERE = click.option("--where", metavar="SQL", help="Only these: a condition on the columns of the quarantine.")
_THESE = click.option(
    "--where", metavar="SQL", required=True, help="Which: a condition on the columns of the quarantine; true for all."
)


@click.group()
def quarantine() -> None:
    """What was put aside of a table (schema.table): look at it, bring it in after a fix, or close it."""


@quarantine.command("show", epilog=EXITS)
@click.argument("table")
@_WHERE
@click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Reasons to tell.")
@ENV
@LAKE
@JSON
def show_quarantine(
    table: str, *, where: str | None, limit: int, env: str | None, lake: str | None, as_json: bool
) -> NoReturn:
    """Show what is wrong with rows of TABLE that were put aside: how many, since when, and the newest of each kind.

    Columns that a contract classifies as personal data are shown as ***.
    """
    from lakehouse.runtime.quarantined import may_be_shown, quarantined, told
    from lakehouse.runtime.workplace import surroundings
    from lakehouse.spec.project import Project

    def action() -> Answer:
        project = Project.around(Path.cwd())
        place, settings = surroundings(project, env, lake)
        found = quarantined(table, place, settings, shown=may_be_shown(project, table), where=where, limit=limit)
        for line in told(found):
            click.echo(line)
        return found.as_json(), None

    answered({"table": table, "status": "failed"}, action, as_json=as_json)


@quarantine.command(epilog=EXITS)
@click.argument("table")
@_WHERE
@_DRY_RUN
@ENV
@LAKE
@PARAM
@JSON
def requeue(
    table: str,
    *,
    where: str | None,
    dry_run: bool,
    env: str | None,
    lake: str | None,
    params: tuple[str, ...],
    as_json: bool,
) -> NoReturn:
    """Bring in what was put aside of TABLE, after a fix.

    Each row goes through the job that met it once, at the place in the order that it came with: nothing newer is
    overwritten. What is still wrong is put aside again. What was interrupted is settled first.
    """
    from lakehouse.runtime.progress import Progress, requeued
    from lakehouse.runtime.requeue import requeue as run_again
    from lakehouse.runtime.requeue import writers

    def action() -> Answer:
        works = writers(table, env=env, lake=lake, params=parameters(params))
        report = run_again(works, where=where, dry_run=dry_run, progress=Progress)
        for line in requeued(report):
            click.echo(line)
        return report.as_json(), report.error

    answered({"table": table, "status": "failed", "dry_run": dry_run, "runs": []}, action, as_json=as_json)


@quarantine.command(epilog=EXITS)
@click.argument("table")
@_THESE
@click.option("--why", metavar="TEXT", required=True, help="The reason; it stays with the rows and in the ledger.")
@_DRY_RUN
@ENV
@LAKE
@JSON
def discard(table: str, *, as_json: bool, **asked: Any) -> NoReturn:
    """Close rows of TABLE that nobody wants: they are not requeued any more, and go after the quarantine_retention."""
    from lakehouse.runtime.discard import discard as close

    _closed(close, table, asked, as_json=as_json)


@quarantine.command(epilog=EXITS)
@click.argument("table")
@_THESE
@_DRY_RUN
@ENV
@LAKE
@JSON
def reopen(table: str, *, as_json: bool, **asked: Any) -> NoReturn:
    """Take back that rows of TABLE were discarded."""
    from lakehouse.runtime.discard import reopen as take_back

    _closed(take_back, table, asked, as_json=as_json)


def _closed(action: Callable[..., Closed], table: str, asked: dict[str, Any], *, as_json: bool) -> NoReturn:
    from lakehouse.runtime.discard import told
    from lakehouse.runtime.workplace import surroundings
    from lakehouse.spec.project import Project

    env, lake = asked.pop("env"), asked.pop("lake")

    def answer() -> Answer:
        place, settings = surroundings(Project.around(Path.cwd()), env, lake)
        closed = action(table, place, settings, **asked)
        for line in told(closed):
            click.echo(line)
        return closed.as_json(), None

    failed = {"table": table, "status": "failed", "dry_run": asked["dry_run"], "rows": 0}
    answered(failed, answer, as_json=as_json)
