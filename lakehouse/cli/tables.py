"""``lakehouse maintain | quarantine``: what is done to tables between the runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, parameters

if TYPE_CHECKING:
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


@click.group()
def quarantine() -> None:
    """What was put aside of a table (schema.table): look at it, and bring it in after a fix."""


@quarantine.command("show")
@click.argument("table")
@ENV
@LAKE
def show_quarantine(table: str, env: str | None, lake: str | None) -> None:
    """Show how many rows broke what, with examples."""
    from lakehouse.runtime.show import quarantined
    from lakehouse.runtime.workplace import lake_of

    for line in quarantined(table, lake_of(env, lake)):
        click.echo(line)


@quarantine.command(epilog=EXITS)
@click.argument("table")
@click.option("--where", metavar="SQL", help="Only these: a condition on the columns of the quarantine.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
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
