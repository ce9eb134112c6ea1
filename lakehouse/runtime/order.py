"""Whether jobs may run side by side: not where one must see what another of them writes in this very run."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from lakehouse.errors import RunOrderError
from lakehouse.spec.source import TableSource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lakehouse.spec.job import Job


def check_order(jobs: Sequence[Job]) -> None:
    """Hold the jobs of one call against each other: what one reads, no other that ends may write meanwhile.

    A job whose trigger has no end reads on, and comes to see what the others write.

    Raises:
        RunOrderError: a job would read a table as it was before; the message says the order to run them in.
    """
    ending = [job for job in jobs if job.trigger == "available_now"]
    writers: dict[str, list[str]] = {}
    for job in ending:
        writers.setdefault(job.write.table, []).append(job.job)
    needed = {job.job: _writers_of(job, writers) for job in ending}
    told = [f"{name} reads {table} of {writer}" for name, found in needed.items() for writer, table in found.items()]
    if not told:
        return
    message = f"these jobs would run at once, and read what was there before: {'; '.join(told)}"
    try:
        order = list(TopologicalSorter({name: found.keys() for name, found in needed.items()}).static_order())
    except CycleError:
        raise RunOrderError(message, hint="they read each other's tables in a circle: run them one by one") from None
    commands = " && ".join(f"lakehouse run {name}" for name in order)
    raise RunOrderError(message, hint=f"run them one after the other: {commands}")


def _writers_of(job: Job, writers: dict[str, list[str]]) -> dict[str, str]:
    """By the other jobs that a job has to wait for the table that it reads of each."""
    tables = {source.table for source in job.sources.values() if isinstance(source, TableSource)}
    tables |= set(job.references)
    return {writer: table for table in sorted(tables) for writer in writers.get(table, ()) if writer != job.job}
