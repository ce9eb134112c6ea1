"""Lakehouse jobs on Spark and Delta: a short YAML and, where there is logic, one pure function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.runtime.result import RunResult

__all__ = ["run", "submit"]


def run(
    job: str,
    *,
    spark: SparkSession | None = None,
    env: str | None = None,
    lake: str | None = None,
    params: Mapping[str, str] | None = None,
    full_refresh: bool = False,
) -> RunResult:
    """Run a job, as in a notebook: ``lakehouse.run("silver_orders", spark=spark)``.

    Args:
        job: its name in the project around the working directory, or the path of its YAML.
        spark: the session to run in; one is started where none is given.
        env: which ``conf/env/<env>.yaml``; ``LAKEHOUSE_ENV``, else ``local``, where it is left out.
        lake: the lake's root, in the place of the environment's.
        params: values for ``${param:NAME}``.
        full_refresh: rebuild the target from the start.

    Returns:
        What the run came to: every row's fate, and the target's version.

    Raises:
        LakehouseError: the run failed, or could not start; ``code`` and ``hint`` say how and what to do.
    """
    from lakehouse.runtime.runner import execute
    from lakehouse.runtime.workplace import prepare

    result = execute(prepare(job, env=env, lake=lake, params=params), spark=spark, full_refresh=full_refresh)
    if result.error:
        # what it comes from is foreign, and a notebook would show its words
        raise result.error from None
    return result


def submit(transform: Callable[..., DataFrame]) -> None:
    """Run the job whose file this is, with the options of ``lakehouse run``: the last line of ``jobs/<job>.py``.

    The process ends with the run's exit code.
    """
    import sys

    from lakehouse.cli import submitted

    # the file that runs, which need not be the one that defines the function
    submitted(str(sys.modules["__main__"].__file__), transform)
