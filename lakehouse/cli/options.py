"""What the commands share: their options, the job that they are about, and how they end."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lakehouse.errors import ConfigError, LakehouseError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lakehouse.runtime.workplace import Workplace

Answer = tuple[dict[str, Any], LakehouseError | None]
"""What a command answers, and the error that is in it."""

EXITS = """\b
Exit codes:
  0  done
  1  failed
  2  configuration: a job, an environment or a command line that cannot be run as written
  3  quality gate: a contract allows no more to be broken (on_fail: fail, at_most, min_score); nothing was written
  4  locked by another runner, or held until `lakehouse resume`
  5  stopped by SIGTERM or Ctrl-C before what was due was done; a stream that never ends by itself ends with 0
"""

ENV = click.option("--env", metavar="NAME", help="Use conf/env/NAME.yaml; else LAKEHOUSE_ENV, else local.")
LAKE = click.option("--lake", metavar="DIR", help="The lake's root, in the place of the environment's.")
PARAM = click.option(
    "--param", "params", metavar="NAME=VALUE", multiple=True, help="A value for ${param:NAME}; may be given again."
)
JSON = click.option("--json", "as_json", is_flag=True, help="End stdout with the result as one line of JSON.")


def end(answers: Sequence[Answer], *, as_json: bool) -> NoReturn:
    """Say how it went, and end with the exit code of the worst error."""
    from lakehouse.runtime.result import told

    for answer, error in answers:
        if error:
            click.echo(f"{error.code}: {error}", err=True)
        if as_json:
            click.echo(json.dumps({**answer, "error": told(error)}, default=str))
    sys.stdout.flush()
    raise SystemExit(max(error.exit_code if error else 0 for _, error in answers))


def answered(failed: dict[str, Any], action: Callable[[], Answer], *, as_json: bool) -> NoReturn:
    """Do what a command is for, say how it went, and end.

    Args:
        failed: what is answered where the action raises.
        action: what is done; its answer, and the error that is in it.
        as_json: end stdout with the answer as one line.
    """
    try:
        answer = action()
    except Exception as failure:
        from lakehouse.lake.faults import typed

        answer = failed, typed(failure)
    end([answer], as_json=as_json)


def workplace(
    job: str,
    *,
    env: str | None,
    lake: str | None,
    params: tuple[str, ...],
    trigger: str | None = None,
    transform: Callable[..., Any] | None = None,
) -> Workplace:
    """A job in its place, as the command line says where that is."""
    from lakehouse.runtime.workplace import prepare

    return prepare(job, env=env, lake=lake, params=parameters(params), trigger=trigger, transform=transform)


def parameters(texts: tuple[str, ...]) -> dict[str, str]:
    """The values that ``--param`` gives."""
    return dict(map(_pair, texts))


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found or not name:
        message = f"--param {text}: expected NAME=VALUE"
        raise ConfigError(message)
    return name, value
