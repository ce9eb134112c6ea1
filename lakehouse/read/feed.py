"""What every incremental source is to the runner: a stream of what is new, and how a batch of it becomes rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.batch import Arrived
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.spec.contract import Contract


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
    ``is_stateful``: what follows needs the state that reading it leaves behind.
    """

    inputs: Mapping[str, Any]
    arrive: Callable[[], Arrived]
    send_on: Callable[[DataFrame], None] | None = None
    is_stateful: bool = False


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
