"""``lakehouse contract``: what rows must look like."""

from __future__ import annotations

import click

from lakehouse.cli.suggest import suggest


@click.group()
def contract() -> None:
    """What rows must look like."""


contract.add_command(suggest)
