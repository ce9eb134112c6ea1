"""Delta tables of the lake: what was appended since the last run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from pyspark.sql import functions as F

from lakehouse.errors import NotAppendOnlyError, ReservedNameError
from lakehouse.lake.batch import CODE, MESSAGE, RAW, Arrived, sourced
from lakehouse.lake.table import head, read_table
from lakehouse.read.feed import Due, Taken

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from lakehouse.errors import LakehouseError
    from lakehouse.lake.checkpoint import Checkpoint
    from lakehouse.lake.table import Table
    from lakehouse.spec.contract import Contract
    from lakehouse.spec.source import TableSource


@dataclass(frozen=True)
class TableFeed:
    """The rows that are appended to a table, from its beginning."""

    table: Table
    source: TableSource
    missing: ClassVar[Literal["error"]] = "error"
    gives_rows: ClassVar[bool] = True

    @property
    def where(self) -> str:
        """The table's name."""
        return self.table.name

    @property
    def contract(self) -> Contract | None:
        """What its rows are held against."""
        return self.source.contract

    def look(self, spark: SparkSession, checkpoint: Checkpoint) -> None:
        """Nothing that Spark would pass over."""

    def stream(self, spark: SparkSession, run_id: str) -> DataFrame:
        """The rows appended to the table, from its beginning."""
        del run_id
        read_table(spark, self.table)
        reader = spark.readStream.format("delta")
        if self.source.max_bytes:
            reader = reader.option("maxBytesPerTrigger", self.source.max_bytes)
        else:
            reader = reader.option("maxFilesPerTrigger", self.source.max_files or 1000)
        return with_source(reader.load(self.table.path))

    def take(self, batch: DataFrame, number: int, checkpoint: Checkpoint, run_id: str) -> Taken:
        """One batch, and where in the table's log it ends."""
        del run_id
        end = checkpoint.offset(batch.sparkSession, number)
        inputs = {"table": self.table.name, "version": end.get("reservoirVersion"), "index": end.get("index")}
        return Taken(inputs, partial(Arrived, batch, judged=True))

    def due(self, spark: SparkSession, checkpoint: Checkpoint) -> Due:
        """How far the table is ahead of the checkpoint."""
        newest = head(spark, self.table)
        seen = checkpoint.last_offset(spark).get("reservoirVersion")
        since = "from its beginning" if seen is None else f"what was appended since version {int(seen) - 1}"
        told = f"{self.table.name} up to version {newest.version if newest else 'none'}, {since}"
        return Due(told, sourced(read_table(spark, self.table).limit(0)))

    def failure(self, error: str) -> LakehouseError | None:
        """What a table says that was changed by more than appends."""
        if "DELTA_SOURCE_TABLE_IGNORE_CHANGES" in error or "DELTA_SOURCE_IGNORE_DELETE" in error:
            message = f"{self.where} was changed by more than appends, so it cannot be read as a stream"
            return NotAppendOnlyError(message, hint="read it as it is (leave out stream: true)")
        return None


def with_source(rows: DataFrame) -> DataFrame:
    """The rows of a table as a batch has them; where they do not say where they came from, with an empty ``_source``.

    Raises:
        ReservedNameError: the table has a column with a name that this library uses.
    """
    if own := [name for name in rows.columns if name.startswith("__")]:
        message = f"the table has a column {own[0]}: names that begin with two underscores are reserved"
        raise ReservedNameError(message, hint="rename it where the table is made")
    beside = {name: F.lit(None).cast("string") for name in (RAW, CODE, MESSAGE)}
    return sourced(rows).withColumns(beside)
