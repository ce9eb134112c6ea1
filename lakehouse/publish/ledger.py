"""The run ledger, ``ops.runs``: every batch and every run is a row that is only ever added."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.errors import ImbalanceError
from lakehouse.lake.table import create, head

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from lakehouse.lake.table import Table

_COMMENTS = {
    "event": "batch: one batch was committed; run: a run ended",
    "status": "done, failed, or replayed (the batch had been committed by an earlier attempt)",
    "inputs": "What was read, as JSON: the files of each source, or the versions of its table",
    "read": "Records that came; read = accepted + quarantined + dropped",
    "produced": "Rows that transform() made; produced = inserted + updated + deleted + unchanged + superseded + duplicates + rejected + filtered",
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
                    message,
                    hint="this is a fault of the library or of a source that changed while it was read; nothing was marked as done",
                )
        return self


@dataclass(frozen=True)
class Event:
    """One row of the ledger."""

    event: Literal["batch", "run"]
    job: str
    run_id: str
    status: Literal["done", "failed", "replayed"]
    started_at: datetime
    target: str = ""
    batch: int | None = None
    stream: str | None = None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    rows: Rows = field(default_factory=Rows)
    rules: Mapping[str, int] = field(default_factory=dict)
    path: str = ""
    version: int | None = None
    rows_added: int = 0
    rows_removed: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)
    error_code: str | None = None
    error_message: str | None = None


_COLUMNS = {
    **dict.fromkeys(("event", "job", "run_id", "status"), "string"),
    **dict.fromkeys(("started_at", "ended_at"), "timestamp"),
    **dict.fromkeys(("target", "path"), "string"),
    **dict.fromkeys(("version", "batch"), "bigint"),
    **dict.fromkeys(("stream", "inputs"), "string"),
    **dict.fromkeys((one.name for one in fields(Rows)), "bigint"),
    **dict.fromkeys(("rows_added", "rows_removed"), "bigint"),
    "rules": "map<string,bigint>",
    "seconds": "map<string,double>",
    **dict.fromkeys(("error_code", "error_message"), "string"),
}


def record(spark: SparkSession, ledger: Table, event: Event) -> None:
    """Add one event; that of a batch is added once, however often the batch is run."""
    ddl = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
    if head(spark, ledger) is None:
        schema = spark.createDataFrame([], ddl).schema
        create(
            spark,
            ledger,
            schema,
            about="Every batch and every run of every job",
            comments=_COMMENTS,
            properties={"lakehouse.mode": "append", "delta.checkpointInterval": "100"},
        )
    values = {
        name: getattr(event, name)
        for name in (
            "event",
            "job",
            "run_id",
            "status",
            "target",
            "path",
            "version",
            "batch",
            "stream",
            "rows_added",
            "rows_removed",
            "error_code",
        )
    }
    values |= {
        "started_at": event.started_at,
        "ended_at": datetime.now(UTC),
        "inputs": json.dumps(event.inputs, default=str, sort_keys=True),
        **asdict(event.rows),
    }
    values |= {
        "rules": dict(event.rules),
        "seconds": dict(event.seconds),
        "error_message": (event.error_message or "")[:4000] or None,
    }
    writer = (
        spark.createDataFrame([tuple(values[name] for name in _COLUMNS)], ddl)
        .coalesce(1)
        .write.format("delta")
        .mode("append")
    )
    if event.event == "batch" and event.stream:
        writer = writer.option("txnAppId", f"lakehouse/{event.stream}/ledger/{event.job}").option(
            "txnVersion", str(event.batch)
        )
    writer.save(ledger.path)
