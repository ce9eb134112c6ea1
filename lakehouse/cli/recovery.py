"""``lakehouse recover | undo``: a job after something went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, parameters, workplace

if TYPE_CHECKING:
    from lakehouse.recovery import recover as recovering
    from lakehouse.recovery import undo as undoing

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command(epilog=EXITS)
@click.argument("job")
@_DRY_RUN
@ENV
@LAKE
@PARAM
@JSON
def recover(job: str, *, dry_run: bool, as_json: bool, **where: Any) -> NoReturn:
    """Rebuild the checkpoint of JOB that was lost, damaged, or put back from an older copy.

    It is made of what the commits of the job's tables say they hold. One that is fine is left alone.
    """
    from lakehouse.recovery.recover import recover as rebuilt
    from lakehouse.recovery.recover import told

    def say(report: recovering.Report) -> None:
        for line in told(report):
            click.echo(line)

    def action() -> Answer:
        return {**rebuilt(workplace(job, **where), dry_run=dry_run, say=say).as_json(), "dry_run": dry_run}, None

    answered({"job": job, "status": "failed", "why": [], "dry_run": dry_run}, action, as_json=as_json)


@click.command(epilog=EXITS)
@click.argument("run_id", metavar="RUN")
@_DRY_RUN
@click.option("--later", is_flag=True, help="Undo the runs that build on it as well, newest first.")
@ENV
@LAKE
@PARAM
@JSON
def undo(run_id: str, *, dry_run: bool, later: bool, as_json: bool, params: tuple[str, ...], **where: Any) -> NoReturn:
    """Make the tables that RUN wrote, and its job's checkpoint, what they were just before it.

    What it read comes again with the next run of the job. RUN is a run's id, as every commit and the ledger have it.
    """
    from lakehouse.recovery.undo import told
    from lakehouse.recovery.undo import undo as undone

    def say(report: undoing.Report) -> None:
        for line in told(report):
            click.echo(line)

    def action() -> Answer:
        report = undone(run_id, dry_run=dry_run, later=later, params=parameters(params), say=say, **where)
        return {**report.as_json(), "dry_run": dry_run}, None

    answered({"run_id": run_id, "status": "failed", "undone": [], "dry_run": dry_run}, action, as_json=as_json)
