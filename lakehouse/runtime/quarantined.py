"""``lakehouse quarantine show``: what was put aside for a table, by what is wrong with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from lakehouse.check.personal import Shown, hide_places_of, personal_of
from lakehouse.check.quarantine import DISCARDED, OPEN, UNFINISHED, condition, every_row, judging
from lakehouse.errors import ConfigError
from lakehouse.foreign import printable
from lakehouse.lake.statements import expression
from lakehouse.runtime.session import settled, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from pyspark.sql import Column, DataFrame, SparkSession

    from lakehouse.lake.place import Lake
    from lakehouse.spec.project import Project

_EXAMPLE = 200
"""Characters of a row that are shown."""

_LONGEST = 65_536
"""Characters of an example that are brought here to be looked at."""

_COUNTS = {
    "open": OPEN,
    "begun": UNFINISHED,
    "requeued": "outcome = 'requeued'",
    "replayed": "outcome = 'replayed'",
    "discarded": DISCARDED,
}


@dataclass(frozen=True)
class Example:
    """The newest row of its kind: where it came from, why it cannot be used, and what may be shown of it."""

    place: str
    message: str
    record: str | None


@dataclass(frozen=True)
class Reason:
    """Open rows that have one thing wrong; ``share`` is of all open rows, ``files`` how many they came from."""

    rows: int
    share: float
    reason: str
    code: str
    job: str
    stage: str
    severity: str | None
    contract: str | None
    first: datetime
    last: datetime
    files: int
    example: Example


@dataclass(frozen=True)
class Quarantined:
    """What is in quarantine for a table; a row that breaks several rules is told with each of them."""

    table: str
    quarantine: str
    path: str
    counts: Mapping[str, int]
    reasons: tuple[Reason, ...]
    is_all: bool
    """Whether these are all reasons that there are."""

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        times = [{"first": one.first.isoformat(), "last": one.last.isoformat()} for one in self.reasons]
        return {
            "table": self.table,
            "quarantine": self.quarantine,
            "path": self.path,
            **self.counts,
            "reasons": [{**asdict(one), **told} for one, told in zip(self.reasons, times, strict=True)],
            "is_all": self.is_all,
        }


def may_be_shown(project: Project, table: str) -> Shown:
    """What may be shown of the rows of a table: the contracts of the jobs that write it say which columns are personal.

    Where no job is known that writes it, or one cannot be read, which may write it, nobody can tell, and no value is
    shown.
    """
    hidden: frozenset[str] = frozenset()
    is_written, is_readable = False, True
    for name in project.jobs:
        try:
            job = project.job(name)
        except ConfigError:
            is_readable = False
            continue
        if job.write.table == table:
            is_written, hidden = True, hidden | personal_of(job)
            hide_places_of(job)
    return Shown(hidden, is_written and is_readable)


def quarantined(
    table: str,
    lake: Lake,
    settings: Mapping[str, str],
    *,
    shown: Shown,
    where: str | None = None,
    limit: int = 20,
    spark: SparkSession | None = None,
) -> Quarantined:
    """What is in quarantine for a table, by what is wrong, the most frequent first, each with the newest example.

    Args:
        table: the target, ``schema.table``.
        lake: where it is.
        settings: Spark's.
        shown: what may be shown of a row.
        where: an SQL condition on the quarantine's columns.
        limit: how many reasons are told.
        spark: the session; one is started where there is none.

    Raises:
        ConfigError: ``where`` is no condition on the quarantine.
        SourceNotFoundError: nothing was ever put aside for the table.
    """
    spark = spark or start("show", settings)
    with settled(spark, settings):
        place = lake.quarantine(table)
        rows = every_row(spark, place)
        chosen = rows.where(expression(condition(rows, where))) if where else rows
        with judging(where or ""):
            counted = chosen.agg(
                *[F.count_if(expression(which)).alias(name) for name, which in _COUNTS.items()]
            ).collect()
            counts: dict[str, int] = counted[0].asDict()
            found = _by_reason(chosen.where(expression(OPEN))).limit(limit + 1).collect()
        reasons = [
            Reason(
                row.rows,
                round(row.rows / counts["open"], 4),
                row.reason,
                row.code,
                row.job,
                row.stage,
                row.severity,
                row.contract,
                row.first,
                row.last,
                row.files,
                _example(row.one, shown),
            )
            for row in found[:limit]
        ]
        return Quarantined(table, place.name, place.path, counts, tuple(reasons), len(found) <= limit)


def _by_reason(rows: DataFrame) -> DataFrame:
    by_columns = expression("stage = 'write' OR (received IS NULL AND get(reasons, 0) LIKE '%:%')")
    one = F.struct(
        "source",
        "message",
        F.substring("record", 1, _LONGEST).alias("record"),
        (by_columns & (F.length("record") <= _LONGEST)).alias("by_columns"),
    )

    def newest(what: Column | str) -> Column:
        return F.max_by(what, "quarantined_at")

    grouped = rows.withColumn("reason", F.explode_outer("reasons")).groupBy(
        "job", "stage", "code", F.coalesce("reason", "code").alias("reason")
    )
    found = grouped.agg(
        F.count("*").alias("rows"),
        F.min("quarantined_at").alias("first"),
        F.max("quarantined_at").alias("last"),
        F.count_distinct("source.file").alias("files"),
        newest("severity").alias("severity"),
        newest("contract").alias("contract"),
        newest(one).alias("one"),
    )
    return found.orderBy(F.desc("rows"), "job", "stage", "reason", "code")


def _example(row: Any, shown: Shown) -> Example:
    record = shown.record(row.record, by_columns=bool(row.by_columns))
    place, message = _place(row.source, shown), printable(shown.place(row.message))
    return Example(place, message, record if record is None else record[:_EXAMPLE])


def _place(source: Any, shown: Shown) -> str:
    """Where a row came from, in words."""
    if source is None:
        return "from nobody knows where"
    if source.topic is not None:
        return f"{source.topic}, partition {source.partition}, offset {source.offset}"
    file = printable(shown.place(source.file or "?"))
    return file + (f", record {source.position:,}" if source.position is not None else "")


def told(found: Quarantined) -> Iterator[str]:
    """The same, in lines."""
    begun = {"begun": "in a requeue that was begun"}
    counts = ", ".join(
        f"{count:,} {begun.get(name, name)}" for name, count in found.counts.items() if count or name == "open"
    )
    yield f"{found.quarantine}  {counts}  {found.path}"
    for one in found.reasons:
        when = "after transform()" if one.stage == "write" else "as it came"
        worth = f", {one.severity}" if one.severity else ""
        yield f"{one.rows:>9,}  {one.share:>4.0%}  {one.reason}  {one.job}, {when}{worth}"
        files = f", of {one.files:,} files" if one.files > 1 else ""
        yield f"{'':17}{one.first:%Y-%m-%d %H:%M} to {one.last:%Y-%m-%d %H:%M}{files}; the newest:"
        yield f"{'':17}{one.example.place}: {one.example.message}"
        if one.example.record is not None:
            yield f"{'':17}{one.example.record!r}"
    if not found.is_all:
        yield "  and more: --limit tells how many are shown"
