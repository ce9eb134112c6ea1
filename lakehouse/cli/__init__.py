"""The command line: what people and schedulers call."""

from __future__ import annotations

from typing import NoReturn

import click

from lakehouse.cli.breaker import resume
from lakehouse.cli.certify import certify
from lakehouse.cli.contract import contract
from lakehouse.cli.look import doctor, show, status
from lakehouse.cli.options import EXITS
from lakehouse.cli.recovery import recover, undo
from lakehouse.cli.replay import diff, replay
from lakehouse.cli.run import check, plan, run, submitted
from lakehouse.cli.tables import maintain, quarantine
from lakehouse.errors import LakehouseError

__all__ = ["cli", "main", "submitted"]


@click.group(epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="lakehouse")
def cli() -> None:
    """Lakehouse jobs on Spark and Delta: a short YAML and, where there is logic, one pure function.

    JOB is a job's name in the project around here (the nearest folder upwards that holds conf/), or its YAML file.
    """


_ABOUT_A_JOB = (run, plan, check, status, show, doctor, resume, certify)
_ABOUT_TABLES = (contract, quarantine, maintain, diff, recover, undo, replay)

for _command in (*_ABOUT_A_JOB, *_ABOUT_TABLES):
    cli.add_command(_command)


def main() -> NoReturn:
    """The entry point: errors of this library end in one message and their exit code."""
    try:
        cli(standalone_mode=True)
    except LakehouseError as error:
        click.echo(f"{error.code}: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)
