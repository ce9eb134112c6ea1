"""Which feed reads which kind of source: a new one is a spec, a feed and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lakehouse.read import again, kafka, tables
from lakehouse.read.again import Came
from lakehouse.read.files import FilesFeed
from lakehouse.read.kafka import KafkaFeed
from lakehouse.read.links import Links
from lakehouse.read.tables import TableFeed
from lakehouse.spec.files import FilesSource
from lakehouse.spec.source import TableSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from lakehouse.read.feed import Feed
    from lakehouse.runtime.workplace import Workplace


def feed_of(work: Workplace) -> Feed:
    """The job's incremental source in its place."""
    name, source = work.job.stream
    if isinstance(source, FilesSource):
        return FilesFeed(work.folders[name], source, work.span, work.places)
    if isinstance(source, TableSource):
        return TableFeed(work.lake.table(source.table), source, work.span)
    return KafkaFeed(work.brokers[name], source, work.span)


@dataclass(frozen=True)
class Again:
    """How rows of the quarantine come in again; ``refusals``: which cannot, by conditions on them, and why."""

    refusals: tuple[tuple[str, str], ...]
    arrive: Callable[[DataFrame], Came]


def again_of(work: Workplace) -> Again:
    """How rows that came of the job's incremental source come in again."""
    name, source = work.job.stream
    if isinstance(source, FilesSource):
        folder, checkpoint = work.folders[name], work.lake.checkpoint(work.job.job)
        return Again(
            again.refusals(source, folder),
            partial(
                again.again,
                source=source,
                links=Links(folder, source.pattern, work.places),
                checkpoint=checkpoint,
                run_id=work.run_id,
            ),
        )
    if isinstance(source, TableSource):
        table = work.lake.table(source.table)
        return Again(_whole(tables.AS_IT_CAME), lambda rows: Came(tables.again(rows, table)))
    brokers, run_id = work.brokers[name], work.run_id
    return Again(
        _whole(kafka.AS_IT_CAME), lambda rows: Came(kafka.again(rows, source=source, brokers=brokers, run_id=run_id))
    )


def _whole(condition: str) -> tuple[tuple[str, str], ...]:
    return ((f"NOT coalesce({condition}, false)", "what came is not here as a whole"),)
