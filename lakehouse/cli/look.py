"""``lakehouse doctor | show | status``: what there is, and how it stands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from lakehouse.cli.options import ENV, JSON, LAKE, PARAM, workplace


@click.command()
@click.option("--fix", "mend", is_flag=True, help="Fetch what is missing and write Spark's defaults.")
@LAKE
def doctor(*, mend: bool, lake: str | None) -> None:
    """Say what this machine has of what a run needs, what is missing, and the mend."""
    from lakehouse.runtime.doctor import examine, fix

    if mend:
        fix(say=click.echo)
    findings = examine(lake=Path(lake) if lake else None)
    for finding in findings:
        click.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.name}: {finding.detail}")
        if not finding.ok:
            click.echo(f"    mend: {finding.mend}")
        if finding.warning:
            click.echo(f"    warning: {finding.warning}")
    raise SystemExit(0 if all(finding.ok for finding in findings) else 1)


@click.command()
@click.argument("table")
@ENV
@LAKE
def show(table: str, env: str | None, lake: str | None) -> None:
    """Show TABLE (schema.table): its columns, its version, and the last runs that wrote it."""
    from lakehouse.runtime.show import shown
    from lakehouse.runtime.workplace import lake_of

    for line in shown(table, lake_of(env, lake)):
        click.echo(line)


@click.command()
@click.argument("jobs", nargs=-1, metavar="[JOB]...")
@ENV
@LAKE
@PARAM
@JSON
def status(jobs: tuple[str, ...], *, as_json: bool, **where: Any) -> None:
    """Say of JOBs (all, where none is named) who runs them, what they did last, and how far they are behind."""
    from lakehouse.runtime.status import status as found
    from lakehouse.runtime.status import told
    from lakehouse.spec.project import Project

    names = jobs or Project.around(Path.cwd()).jobs
    for work in [workplace(job, **where) for job in names]:
        one = found(work)
        for line in [json.dumps(one.as_json())] if as_json else told(one):
            click.echo(line)
