"""The run ledger, ``ops.runs``: every batch and every run is a row that is only ever added."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pyspark.sql import functions as F

from lakehouse.errors import ImbalanceError
from lakehouse.foreign import mask_places
from lakehouse.lake.batch import check_counts
from lakehouse.lake.frame import small_frame
from lakehouse.lake.table import create, exists, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession

    from lakehouse.lake.quality import Quality
    from lakehouse.lake.table import Table

STEP = "ledger"
"""What a commit to the ledger notes itself as, where it says how the job stands."""

_COMMENTS = {
    "event": (
        "batch: one batch was committed; retry: an attempt of a run failed, and another follows; run: a run ended; "
        "held: from here on the job is not run; resumed: it is again; maintain: files of the target were written anew; "
        "recover: its checkpoint was rebuilt; undo: its tables are as they were before it; "
        "discard: a person closed rows of the quarantine; reopen: took that back"
    ),
    "status": "done, failed, stopped (told to), or replayed (the batch had been committed by an earlier attempt)",
    "inputs": (
        "As JSON what was read, the files of each source or the versions of its table; or what maintain did; "
        "of a retry which attempt failed, of how many, and the seconds until the next"
    ),
    "read": "Records that came; read = accepted + quarantined + dropped",
    "produced": "Rows that transform() made; the sum of the eight columns that follow",
    "strategy": "How the commit was made",
    "why": "Why it was made so: what it adds and takes away, and how much of the table that reaches",
    "rejected": "Rows that transform() made and that cannot be written; they are in quarantine",
    "rules": "How many rows broke each rule",
    "version": "The target's version after this event",
    "rows_added": "What the commit did, as Delta reports it",
    "seconds": "Seconds by stage",
}


@dataclass(frozen=True)
class Rows:
    """Where every row of a batch or run went: the two balances of the accounting."""

    read: int = 0
    accepted: int = 0
    quarantined: int = 0
    dropped: int = 0
    produced: int = 0
    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    superseded: int = 0
    duplicates: int = 0
    rejected: int = 0
    filtered: int = 0

    def __post_init__(self) -> None:
        """Hold the counts against what the ledger can keep."""
        check_counts(vars(self))

    def __add__(self, other: Rows) -> Rows:
        return Rows(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(Rows)})

    def balance(self) -> Rows:
        """These counts, once both balances hold.

        Raises:
            ImbalanceError: a row is unaccounted for, or counted twice.
        """
        kept = self.accepted + self.quarantined + self.dropped
        written = (
            self.inserted
            + self.updated
            + self.deleted
            + self.unchanged
            + self.superseded
            + self.duplicates
            + self.rejected
            + self.filtered
        )
        for name, whole, parts in (("read", self.read, kept), ("produced", self.produced, written)):
            if whole != parts:
                message = f"{name} {whole:,} rows, and accounted for {parts:,}: {asdict(self)}"
                raise ImbalanceError(
                    message, hint="a fault of this library, or of a source that changed while it was read"
                )
        return self


@dataclass(frozen=True)
class Event:
    """One row of the ledger."""

    event: Literal["batch", "run", "retry", "held", "resumed", "maintain", "recover", "undo", "discard", "reopen"]
    job: str
    run_id: str
    status: Literal["done", "failed", "replayed", "stopped"]
    started_at: datetime
    target: str = ""
    batch: int | None = None
    stream: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    rules: Mapping[str, int] = field(default_factory=dict)
    quality: tuple[Quality, ...] = ()
    path: str = ""
    version: int | None = None
    rows_added: int = 0
    rows_removed: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    strategy: str | None = None
    why: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    ended_at: datetime = field(default_factory=lambda: datetime.now(UTC))


_COLUMNS = {
    **dict.fromkeys(("event", "job", "run_id", "status"), "string"),
    "started_at": "timestamp",
    "stream": "string",
    "batch": "bigint",
    "ended_at": "timestamp",
    **dict.fromkeys(("target", "path"), "string"),
    "version": "bigint",
    "inputs": "string",
    **dict.fromkeys((one.name for one in fields(Rows)), "bigint"),
    **dict.fromkeys(("rows_added", "rows_removed"), "bigint"),
    "rules": "map<string,bigint>",
    "seconds": "map<string,double>",
    **dict.fromkeys(("strategy", "why", "error_code", "error_message"), "string"),
}


def record(
    spark: SparkSession, ledger: Table, events: Sequence[Event], *, note: Mapping[str, Any] | None = None
) -> None:
    """Add events, in one commit; ``note``: what it says of the job."""
    if not exists(spark, ledger):
        create(
            spark,
            ledger,
            _COLUMNS,
            about="Every batch and every run of every job",
            comments=_COMMENTS,
            # statistics of the columns by which it is searched, which come first
            properties={
                "lakehouse.mode": "append",
                "delta.checkpointInterval": "100",
                "delta.dataSkippingNumIndexedCols": "7",
            },
        )
    rows = small_frame(spark, [[values[name] for name in _COLUMNS] for values in map(_values, events)], _COLUMNS)
    # a ledger of an older version has fewer columns
    writer = rows.coalesce(1).write.format("delta").mode("append").option("mergeSchema", "true")
    if note is not None:
        writer = writer.option("userMetadata", json.dumps({"lakehouse": note}, sort_keys=True))
    writer.save(ledger.path)


def _values(event: Event) -> dict[str, Any]:
    return {
        **{one.name: getattr(event, one.name) for one in fields(Event)},
        **asdict(event.rows),
        "started_at": event.started_at.isoformat(),
        "ended_at": event.ended_at.isoformat(),
        "inputs": json.dumps(_shown(event.inputs), default=str, sort_keys=True),
        "error_message": (event.error_message or "")[:4000] or None,
    }


def _shown(value: Any) -> Any:
    """What was read, without what paths say of people: the commit of the batch names its files as they are."""
    if isinstance(value, Mapping):
        return {name: _shown(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(one) for one in value]
    return mask_places(value) if isinstance(value, str) else value


def newest_batch(spark: SparkSession, ledger: Table, stream: str) -> int:
    """The newest batch of a checkpoint that the ledger knows; -1 where it knows none."""
    if not exists(spark, ledger):
        return -1
    of_stream = read_table(spark, ledger).where((F.col("stream") == stream) & F.col("event").isin("batch", "undo"))
    newest = of_stream.agg(F.max("batch").alias("newest")).collect()[0].newest
    return -1 if newest is None else int(newest)
