"""``lakehouse resume``: a job that its circuit breaker holds is run again."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, workplace


@click.command(epilog=EXITS)
@click.argument("job")
@click.option("--let-through", is_flag=True, help="Take the batch that was held as it is, once.")
@ENV
@LAKE
@PARAM
@JSON
def resume(job: str, *, let_through: bool, as_json: bool, **where: Any) -> NoReturn:
    """Let JOB be run again, which its circuit breaker holds: after runs that failed, or for a batch that was too much.

    The next run judges such a batch again, unless it is let through.
    """

    def action() -> Answer:
        work = workplace(job, **where)
        from lakehouse.runtime.breaker import held_as
        from lakehouse.runtime.breaker import resume as end_hold

        hold = end_hold(work, let_through=let_through)
        what = f"{held_as(work.job.job, hold)}\nresumed" if hold else f"{work.job.job} is not held"
        click.echo(f"{what}; its next run takes the batch as it is" if hold and let_through else what)
        status = "resumed" if hold else "not held"
        return {"job": work.job.job, "status": status, "held": hold and asdict(hold)}, None

    answered({"job": job, "status": "failed"}, action, as_json=as_json)
