"""``lakehouse certify``: whether a job ends in the same table, wherever it is killed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, parameters, workplace

if TYPE_CHECKING:
    from lakehouse.certify.trial import Trial


@click.command(epilog=EXITS)
@click.argument("job")
@click.option(
    "--input",
    "given",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Files to read in the place of the newest of the job's own.",
)
@click.option(
    "--size",
    metavar="N",
    type=click.IntRange(1),
    default=3,
    help="How many of the newest files, or records of each partition, a trial reads; 3.",
)
@click.option("--all", "every", is_flag=True, help="Kill it at every place, and not at one of each sort.")
@click.option("--point", metavar="TEXT", help="Only at the places whose name holds this.")
@click.option("--seed", metavar="N", type=int, help="Which place of each sort; a random one, which is printed.")
@ENV
@LAKE
@PARAM
@JSON
def certify(
    job: str, *, env: str | None, lake: str | None, params: tuple[str, ...], as_json: bool, **asked: Any
) -> NoReturn:
    """Kill JOB (kill -9 of the real process) wherever it makes something durable, run it again, and compare.

    It runs in lakes of its own, on a copy of its newest input: the job's tables and checkpoint are not touched. Target,
    quarantine and ledger must be those of a run that nobody killed. A kill takes two starts of Spark, some 30 seconds.
    """

    def say(trial: Trial) -> None:
        click.echo(f"{trial.verdict:<11} {trial.seconds:6.1f} s  {trial.point}")
        if trial.detail:
            click.echo(f"    {trial.detail}\n    its lake is kept: {trial.lake}")

    def action() -> Answer:
        work = workplace(job, env=env, lake=lake, params=params)
        from lakehouse.certify.trial import Wanted
        from lakehouse.certify.trial import certify as tried

        wanted = Wanted({"env": env, "params": parameters(params)}, **asked)
        found = tried(work, wanted, say=say)
        good = sum(trial.verdict == "converged" for trial in found.trials)
        left = f"; not compared, as every run differs: {', '.join(found.left_out)}" if found.left_out else ""
        click.echo(
            f"{found.job}: {good} of {len(found.trials)} kills over {found.batches} batches converged "
            f"(seed {found.seed}){left}"
        )
        return found.as_json(), found.error

    answered({"job": job, "status": "failed", "trials": []}, action, as_json=as_json)
