"""``lakehouse contract``: what rows must look like, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from lakehouse.cli.options import EXITS, JSON, Answer, answered
from lakehouse.errors import ConfigError


@click.group()
def contract() -> None:
    """What rows must look like."""


@contract.command("export", epilog=EXITS)
@click.argument("file", metavar="CONTRACT")
@click.option("--to", metavar="FILE", help="Write it there, and not to stdout; nothing is written over.")
@JSON
def export(file: str, *, to: str | None, as_json: bool) -> NoReturn:
    """Write CONTRACT (its YAML file) as one of the Open Data Contract Standard, v3.

    What the standard has no words for is kept beside, so that to read it again gives the same contract.
    """

    def action() -> Answer:
        from lakehouse.spec.odcs_export import exported
        from lakehouse.spec.project import Project

        path, _, part = file.partition("#")
        if not Path(path).is_file():
            message = f"no such file: {path}"
            raise ConfigError(message)
        if to and Path(to).exists():
            message = f"--to {to}: there already, and nothing is written over"
            raise ConfigError(message)
        text = exported(Project.around(Path(path)).contract(Path(path).resolve(), part), Path(path).stem)
        if to:
            Path(to).write_text(text)
        click.echo(f"written to {to}" if to else text.rstrip())
        return {"contract": file, "status": "done", "to": to}, None

    answered({"contract": file, "status": "failed"}, action, as_json=as_json)
