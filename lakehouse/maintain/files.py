"""What the files of a table are like: how large, in which partition, how old, how many of their rows are deleted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from lakehouse.lake.frame import col
from lakehouse.lake.log import parse_metrics, read_checksum
from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import local
from lakehouse.lake.table import head, read_table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table


@dataclass(frozen=True)
class DataFile:
    """One file that holds rows of the table: its partition (as JSON), its bytes, its age as ms since 1970."""

    partition: str
    bytes: int
    modified_ms: int


@dataclass(frozen=True)
class Shape:
    """A table's files, the columns it is clustered by, its rows, and how many more rows deletion vectors hide."""

    files: tuple[DataFile, ...]
    clustered_by: tuple[str, ...]
    rows: int
    deleted: int

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(file.bytes for file in self.files)

    @property
    def deleted_share(self) -> float:
        """The part of the rows in the files that readers do not see."""
        return self.deleted / (self.rows + self.deleted) if self.deleted else 0.0


def at_rest(spark: SparkSession, table: Table, files: int, bytes_: int) -> str:
    """Why there is nothing to write anew, where the newest version's checksum file tells; else empty.

    It does where the table has fewer files and bytes than these, and no row is deleted. Most tables are so, and for
    them Spark has nothing to do.
    """
    newest, place = head(spark, table), local(table.path)
    if newest is None or place is None:
        return ""
    told = read_checksum(place / "_delta_log", newest.version)
    counts, protocol = parse_metrics(told), told.get("protocol")
    if not isinstance(protocol, dict) or not {"numFiles", "tableSizeBytes"} <= counts.keys():
        return ""
    # where the table never had a deletion vector, nothing is said of them
    may_hide = "deletionVectors" in (protocol.get("writerFeatures") or ())
    few = counts["numFiles"] < files and counts["tableSizeBytes"] < bytes_
    hidden = counts.get("numDeletedRecordsOpt") if may_hide else 0
    return f"files: {counts['numFiles']:,}, and no row is deleted" if few and hidden == 0 else ""


def shape(spark: SparkSession, table: Table) -> Shape:
    """What the table's files are like. Reads the footers of the files and no column.

    Raises:
        SourceNotFoundError, NotDeltaError: there is no such table.
    """
    newest = head(spark, table)
    frame = read_table(spark, table, newest.version if newest else None)
    detail = run_sql(spark, f"DESCRIBE DETAIL {table.sql}").collect()[0]
    # a table may have a column of that name
    hidden = frame.metadataColumn("_metadata")
    partitions = [col(name) for name in detail.partitionColumns]
    found = (
        frame.select(
            (F.to_json(F.struct(*partitions)) if partitions else F.lit("")).alias("partition"),
            hidden["file_path"].alias("path"),
            hidden["file_size"].alias("bytes"),
            F.unix_millis(hidden["file_modification_time"]).alias("modified_ms"),
        )
        .groupBy("partition", "path", "bytes", "modified_ms")
        .count()
        .collect()
    )
    rows = sum(row["count"] for row in found)
    may_hide = "deletionVectors" in (detail.tableFeatures or [])
    return Shape(
        tuple(DataFile(row.partition, row.bytes, row.modified_ms) for row in found),
        tuple(detail.clusteringColumns or ()),
        rows,
        _rows_in(spark, frame.inputFiles()) - rows if may_hide else 0,
    )


def _rows_in(spark: SparkSession, paths: Iterable[str]) -> int:
    """The rows that are in the files, hidden or not: what the footers say."""
    plain = [re.sub(r"([\[\]{}*?\\])", r"\\\1", path) for path in paths]
    if not plain:
        return 0
    # folders are no partitions here, and no column is asked for
    return spark.read.schema("none int").option("recursiveFileLookup", "true").parquet(*plain).count()
