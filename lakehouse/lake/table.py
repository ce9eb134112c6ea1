"""One Delta table: where it is, what its commits say, and how it is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pyspark.errors import AnalysisException
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from lakehouse.errors import LogUnreadableError, NotDeltaError, SourceNotFoundError
from lakehouse.lake.frame import literal, quoted, sql_type
from lakehouse.lake.log import commit_file, newest_version, parse_info, read_actions, read_info
from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import local
from lakehouse.lake.types import resolved

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pyspark.sql import DataFrame, Row, SparkSession

    from lakehouse.lake.log import Info

_HOUSEKEEPING = {
    "OPTIMIZE",
    "VACUUM START",
    "VACUUM END",
    "SET TBLPROPERTIES",
    "UNSET TBLPROPERTIES",
    "ADD COLUMNS",
    "CHANGE COLUMN",
    "CHANGE COLUMNS",
    "CLUSTER BY",
    "UPGRADE PROTOCOL",
    "ADD CONSTRAINT",
    "DROP CONSTRAINT",
    "COMPUTE STATS",
    "REORG",
}
"""Operations that change no row."""

AUXILIARY = "_auxiliary"


@dataclass(frozen=True)
class Table:
    """A table's name (``schema.table``) and its folder."""

    name: str
    path: str

    @property
    def sql(self) -> str:
        """The table as SQL names it, by its path."""
        return f"delta.{quoted(self.path)}"

    @property
    def auxiliary(self) -> Table:
        """What the table must remember and does not show; Delta leaves folders alone whose name begins with _."""
        return Table(f"{self.name} (auxiliary)", f"{self.path}/{AUXILIARY}")


@dataclass(frozen=True)
class Commit:
    """One version of a table: what made it, its metrics, and what this library noted in it (if it is its own)."""

    version: int
    operation: str
    metrics: dict[str, int] = field(default_factory=dict)
    note: dict[str, Any] = field(default_factory=dict)
    at: str = ""
    restored: str = ""
    """Of a RESTORE the version, or else the time, that it went back to."""

    @classmethod
    def of(cls, version: int, info: Info) -> Commit:
        """A version by what its log says of it."""
        return cls(version, info.operation, info.metrics, info.note, info.at, info.restored)

    @property
    def is_empty_table(self) -> bool:
        """Whether the table was just made and has never held a row."""
        return self.version == 0 and self.operation in ("CREATE TABLE", "CREATE OR REPLACE TABLE")

    @property
    def changes_rows(self) -> bool:
        """Whether rows may be other than before."""
        did_nothing = self.metrics.get("numOutputRows") == 0 and not any(
            self.metrics.get(name) for name in ("numRemovedFiles", "numDeletedRows")
        )
        wrote_nothing = self.is_empty_table or (self.operation == "WRITE" and did_nothing)
        return self.operation not in _HOUSEKEEPING and not wrote_nothing


def commits(spark: SparkSession, table: Table, limit: int) -> Iterable[Commit]:
    """The newest commits, newest first; none where there is no such table.

    Of a folder of this machine the log is read as it lies there, by Delta's protocol, and no further than is asked
    for: a hundred times as quick as to ask Spark, and a batch asks several times.
    """
    place = local(table.path)
    if place is not None:
        return islice(_logged(place / "_delta_log"), limit)
    try:
        rows = (
            run_sql(spark, f"DESCRIBE HISTORY {table.sql} LIMIT {limit}")
            .select(
                "version",
                "operation",
                "operationMetrics",
                "userMetadata",
                "operationParameters",
                F.col("timestamp").cast("string").alias("at"),
            )
            .collect()
        )
    except AnalysisException as error:
        if error.getCondition() in (
            "DELTA_TABLE_ONLY_OPERATION",
            "DELTA_TABLE_NOT_FOUND",
            "DELTA_MISSING_DELTA_TABLE",
            "PATH_NOT_FOUND",
            "DELTA_PATH_DOES_NOT_EXIST",
        ):
            return []
        raise
    return [_told(row) for row in rows]


def _told(row: Row) -> Commit:
    """A row of the history as Spark tells it."""
    names = ("operation", "operationMetrics", "userMetadata", "operationParameters")
    said = {name: row[name] for name in names}
    return replace(Commit.of(row.version, parse_info(said)), at=row.at or "")


def _logged(log: Path) -> Iterator[Commit]:
    """The commits of a log in a folder, newest first, to where it was cleaned."""
    for version in range(newest_version(log), -1, -1):
        info = read_info(log, version)
        if info is None:
            return
        yield Commit.of(version, info)


def added_files(table: Table, first: int, last: int) -> set[str]:
    """The names of the data files that the commits from one version to another added; of a table on this machine."""
    place = local(table.path)
    if place is None:
        return set()
    files = (commit_file(place / "_delta_log", version) for version in range(first, last + 1))
    paths = (str(said.get("path", "")) for file in files for _, said in read_actions(file, ("add",)))
    return {path.rsplit("/", 1)[-1] for path in paths}


def head(spark: SparkSession, table: Table) -> Commit | None:
    """The newest commit; None where there is no such table."""
    return next(iter(commits(spark, table, 1)), None)


def exists(spark: SparkSession, table: Table) -> bool:
    """Whether the table is there; of a folder of this machine its log tells, which is quicker than to ask Spark."""
    place = local(table.path)
    return head(spark, table) is not None if place is None else (place / "_delta_log").is_dir()


def read_table(spark: SparkSession, table: Table, version: int | None = None) -> DataFrame:
    """The table as it is, or as it was at a version.

    Raises:
        SourceNotFoundError: nothing is there; NotDeltaError: something else is there.
        LogUnreadableError: its log is not as Delta's protocol has it.
    """
    reader = spark.read.format("delta")
    if version is not None:
        reader = reader.option("versionAsOf", version)
    with_table = f"{table.name} ({table.path})"
    try:
        frame = reader.load(table.path)
        frame.schema  # noqa: B018 -- resolves the table now, on Spark Connect too
    except AnalysisException as error:
        if error.getCondition() == "PATH_NOT_FOUND":
            message = f"no table {with_table}"
            raise SourceNotFoundError(
                message, hint="run the job that makes it, or look at the name and at --lake"
            ) from None
        if error.getCondition() in ("DELTA_TABLE_NOT_FOUND", "DELTA_MISSING_DELTA_TABLE", "DELTA_TABLE_ONLY_OPERATION"):
            message = f"{with_table} is not a Delta table"
            raise NotDeltaError(message, hint="something else lies in its folder") from None
        raise
    except Exception as error:
        if "[FAILED_READ_FILE" not in str(error) or "/_delta_log/" not in str(error):
            raise
        message = f"Spark cannot read the log of {with_table}"
        hint = "a commit in its _delta_log is damaged, or not as Delta's protocol has it: the writer has to mend it"
        raise LogUnreadableError(message, hint=hint) from error
    return frame


@dataclass(frozen=True)
class Layout:
    """How a table is laid out; at most one of the two is set."""

    partition_by: tuple[str, ...] = ()
    cluster_by: tuple[str, ...] = ()


def layout(spark: SparkSession, table: Table) -> Layout:
    """How the table is laid out now."""
    properties = {row.key: row.value for row in run_sql(spark, f"SHOW TBLPROPERTIES {table.sql}").collect()}
    clustering = json.loads(properties.get("clusteringColumns", "[]"))
    (partitions,) = run_sql(spark, f"DESCRIBE DETAIL {table.sql}").select("partitionColumns").collect()[0]
    return Layout(tuple(partitions), tuple(".".join(parts) for parts in clustering))


def create(
    spark: SparkSession,
    table: Table,
    columns: StructType | Mapping[str, str],
    *,
    about: str = "",
    comments: Mapping[str, str] | None = None,
    partition_by: Sequence[str] = (),
    cluster_by: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> None:
    """Make an empty table; one that is there already stays as it is.

    A table is clustered by columns, or by fields of them as dotted paths.

    Raises:
        NotDeltaError: the folder holds something else.
    """
    place = local(table.path)
    if place is not None and place.exists() and not (place.is_dir() and _is_ours(place)):
        message = f"{table.name}: {table.path} is not a Delta table and not empty"
        raise NotDeltaError(message, hint="give the table another name, or move what lies there")
    notes = {name.lower(): f" COMMENT {literal(text)}" for name, text in (comments or {}).items()}
    kinds = columns if isinstance(columns, Mapping) else {one.name: sql_type(one.dataType) for one in columns.fields}
    told = [f"{quoted(name)} {kind}{notes.get(name.lower(), '')}" for name, kind in kinds.items()]
    statement = [f"CREATE TABLE IF NOT EXISTS {table.sql} ({', '.join(told)}) USING DELTA"]
    if partition_by:
        statement.append(f"PARTITIONED BY ({', '.join(map(quoted, partition_by))})")
    if cluster_by:
        statement.append(f"CLUSTER BY ({', '.join(_place(name, columns) for name in cluster_by)})")
    if about:
        statement.append(f"COMMENT {literal(about)}")
    if properties:
        statement.append(
            "TBLPROPERTIES ("
            + ", ".join(f"{literal(name)} = {literal(value)}" for name, value in properties.items())
            + ")"
        )
    run_sql(spark, " ".join(statement))


def _place(name: str, columns: StructType | Mapping[str, str]) -> str:
    """A column, or a field of one by its path, as SQL names it."""
    found = resolved(columns, name) if isinstance(columns, StructType) else None
    return ".".join(map(quoted, found[0])) if found else quoted(name)


def _is_ours(folder: Path) -> bool:
    """Whether the folder is a table, or empty but for what Delta left of one that was being made."""
    return (folder / "_delta_log").is_dir() or not any(folder.iterdir())
