"""What every incremental source is to the runner: a stream of what is new, and how a batch of it becomes rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pyspark.sql import functions as F

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.batch import Arrived
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.spec.contract import Contract


@dataclass(frozen=True)
class Span:
    """The part of a source that is read again: what came at ``begin`` or later, and before ``end``."""

    begin: datetime
    end: datetime

    def __str__(self) -> str:
        """As every commit and event of a replay notes it."""
        return f"{self.begin.isoformat()} to {self.end.isoformat()}"

    @property
    def bounds_ms(self) -> tuple[int, int]:
        """Both in ms since 1970, each the first ms at or after it."""
        begin, end = (math.ceil(round(at.timestamp() * 1_000_000) / 1000) for at in (self.begin, self.end))
        return begin, end

    def holds(self, at_ms: int) -> bool:
        """Whether what came at a time is of it."""
        first, last = self.bounds_ms
        return first <= at_ms < last

    def has(self, at: Column) -> Column:
        """Whether what came at a time is of it; the time is a timestamp."""
        return (at >= F.lit(self.begin)) & (at < F.lit(self.end))


@dataclass(frozen=True)
class Due:
    """What a run would read, in words, and the columns that it would bring, as an empty frame."""

    told: str
    columns: DataFrame


@dataclass(frozen=True)
class Behind:
    """What a source holds that was not read yet: how many of what, and how many seconds ago the oldest of it came."""

    of: str
    count: int
    unit: str
    seconds: float | None = None


@dataclass(frozen=True)
class Taken:
    """One batch: what it is made of, as every commit of it notes it, and how its rows are read.

    ``send_on`` tells others of the rows that are put aside, where the source says so; at least once.
    ``is_stateful``: what follows needs the state that reading it leaves behind. ``lies``: of a part of a source, that
    the batch is none of it, and whether the part is over.
    """

    inputs: Mapping[str, Any]
    arrive: Callable[[], Arrived]
    send_on: Callable[[DataFrame], None] | None = None
    is_stateful: bool = False
    lies: Literal["before", "behind"] | None = None


class Feed(Protocol):
    """An incremental source in its place."""

    @property
    def where(self) -> str:
        """What is read, as the checkpoint's owner knows it."""

    @property
    def contract(self) -> Contract | None:
        """What its rows are held against."""

    @property
    def missing(self) -> Literal["null", "error"]:
        """What a column is that the contract declares and a batch lacks."""

    @property
    def gives_rows(self) -> bool:
        """Whether its stream is of rows as ``Arrived`` has them, and not of what ``take`` makes rows of."""

    def look(self, spark: SparkSession, checkpoint: Checkpoint) -> bool:
        """Look at the source before Spark does, for what Spark passes over without a word.

        Whether only the batch that is begun may be read before it is looked again.
        """

    def stream(self, spark: SparkSession, run_id: str) -> DataFrame:
        """What is new, as a stream."""

    def take(self, batch: DataFrame, number: int, checkpoint: Checkpoint, run_id: str) -> Taken:
        """One batch of the stream: where that is of rows, of judged ones."""

    def due(self, spark: SparkSession, checkpoint: Checkpoint) -> Due:
        """What a run would read; nothing is read for it but names, headers and schemas."""

    def behind(self, spark: SparkSession, checkpoint: Checkpoint) -> list[Behind]:
        """What was not read yet, by topic, folder or table."""

    def failure(self, error: str) -> LakehouseError | None:
        """What Spark's words mean, where the source knows them."""
