"""Which feed reads which kind of source: a new one is a spec, a feed and a line here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from lakehouse.read import kafka, tables
from lakehouse.read.files import FilesFeed
from lakehouse.read.kafka import KafkaFeed
from lakehouse.read.tables import TableFeed
from lakehouse.spec.files import FilesSource
from lakehouse.spec.kafka import KafkaSource
from lakehouse.spec.source import TableSource

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame

    from lakehouse.lake.batch import Arrived
    from lakehouse.read.feed import Feed
    from lakehouse.runtime.workplace import Workplace


def feed_of(work: Workplace) -> Feed:
    """The job's incremental source in its place."""
    name, source = work.job.stream
    if isinstance(source, FilesSource):
        return FilesFeed(work.folders[name], source, work.span)
    if isinstance(source, TableSource):
        return TableFeed(work.lake.table(source.table), source, work.span)
    return KafkaFeed(work.brokers[name], source, work.span)


@dataclass(frozen=True)
class Again:
    """How rows of the quarantine come in again: those that hold all that came, by a condition on them."""

    as_it_came: str
    arrive: Callable[[DataFrame], Arrived]


def again_of(work: Workplace) -> Again | None:
    """How rows that came of the job's incremental source come in again; None where that cannot be done yet."""
    name, source = work.job.stream
    if isinstance(source, KafkaSource):
        arrive = partial(kafka.again, source=source, brokers=work.brokers[name], run_id=work.run_id)
        return Again(kafka.AS_IT_CAME, arrive)
    if isinstance(source, TableSource):
        return Again(tables.AS_IT_CAME, partial(tables.again, table=work.lake.table(source.table)))
    return None
