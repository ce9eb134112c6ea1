"""Which feed reads which kind of source: a new one is a spec, a feed and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lakehouse.read.files import FilesFeed
from lakehouse.read.kafka import KafkaFeed
from lakehouse.read.tables import TableFeed
from lakehouse.spec.source import FilesSource, TableSource

if TYPE_CHECKING:
    from lakehouse.read.feed import Feed
    from lakehouse.runtime.workplace import Workplace


def feed_of(work: Workplace) -> Feed:
    """The job's incremental source in its place."""
    name, source = work.job.stream
    if isinstance(source, FilesSource):
        return FilesFeed(work.folders[name], source)
    if isinstance(source, TableSource):
        return TableFeed(work.lake.table(source.table), source)
    return KafkaFeed(work.brokers[name], source)
