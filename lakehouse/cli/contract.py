"""``lakehouse contract``: what rows must look like, held against the rows that there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import click

from lakehouse.cli.options import ENV, EXITS, JSON, LAKE, PARAM, Answer, answered, parameters

if TYPE_CHECKING:
    from lakehouse.runtime.published import Report


@click.group()
def contract() -> None:
    """What rows must look like."""


@contract.command("check", epilog=EXITS)
@click.argument("name", metavar="JOB|TABLE")
@ENV
@LAKE
@PARAM
@JSON
def check_contract(name: str, *, env: str | None, lake: str | None, params: tuple[str, ...], as_json: bool) -> NoReturn:
    """Hold a published table (schema.table, or what JOB writes) against write.contract of its jobs, as a whole.

    What is found goes to ops.quality; rows stay where they are. A gate that is broken ends it with exit code 3.
    """
    from lakehouse.runtime.published import check, writers_of

    def say(report: Report) -> None:
        for line in report.told():
            click.echo(line)

    def action() -> Answer:
        report = check(writers_of(name, env=env, lake=lake, params=parameters(params)), say=say)
        return report.as_json(), report.error

    answered({"status": "failed", "checked": name, "contracts": []}, action, as_json=as_json)
