"""The command line: what people and schedulers call."""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import click

from lakehouse.cli.breaker import resume
from lakehouse.cli.certify import certify
from lakehouse.cli.contract import contract
from lakehouse.cli.look import doctor, show, status
from lakehouse.cli.new import new
from lakehouse.cli.options import EXITS
from lakehouse.cli.recovery import recover, undo
from lakehouse.cli.replay import diff, replay
from lakehouse.cli.run import check, plan, run, submitted
from lakehouse.cli.tables import maintain, quarantine
from lakehouse.errors import OutputError

__all__ = ["cli", "main", "submitted"]


@click.group(epilog=EXITS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="lakehouse")
def cli() -> None:
    """Lakehouse jobs on Spark and Delta: a short YAML and, where there is logic, one pure function.

    JOB is a job's name in the project around here (the nearest folder upwards that holds conf/), or its YAML file.
    """


_ABOUT_A_JOB = (new, run, plan, check, status, show, doctor, resume, certify)
_ABOUT_TABLES = (quarantine, contract, maintain, diff, recover, undo, replay)

for _command in (*_ABOUT_A_JOB, *_ABOUT_TABLES):
    cli.add_command(_command)


def main() -> NoReturn:
    """The entry point: whatever ends a command ends in one message and an exit code, and never in a stack."""
    try:
        try:
            cli(standalone_mode=True)
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except Exception as failure:
        from lakehouse.lake.faults import typed

        error = _of_stdout(failure) or typed(failure)
        # who has closed a pipe has seen enough
        if not isinstance(failure, BrokenPipeError):
            with suppress(OSError):
                click.echo(f"{error.code}: {error}", err=True)
        raise SystemExit(error.exit_code) from None
    raise SystemExit(0)


def _of_stdout(failure: Exception) -> OutputError | None:
    """The error of a stdout that is full or closed; None where something else failed."""
    last = Path(traceback.extract_tb(failure.__traceback__)[-1].filename)
    if not isinstance(failure, OSError) or last not in (Path(__file__), Path(click.utils.__file__)):
        return None
    # Python would fail on it once more as it ends
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return OutputError(f"stdout cannot be written: {failure.strerror}")
