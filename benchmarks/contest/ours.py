"""This library: its write call alone, and a job of a project, run as a notebook would."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import TypeAdapter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import lakehouse
from contest import folder
from contest.workloads import COLUMNS
from lakehouse.lake.batch import Identity
from lakehouse.lake.table import Table
from lakehouse.spec.write import Write
from lakehouse.write import write

KEYED = {"table": "silver.t", "keys": ["id"], "sequence_by": ["updated_at"]}
SPECS: dict[str, dict[str, object]] = {
    "upsert": {**KEYED, "mode": "scd1"},
    "insert": {"table": "silver.t", "mode": "append", "identity": ["id"]},
    "cdc": {**KEYED, "mode": "scd1", "apply_as_deletes": "op = 'D'", "except_columns": ["op"]},
    "scd2": {**KEYED, "mode": "scd2"},
}
JOB = """\
from __future__ import annotations


def transform(events):
    return events.drop("_source")
"""


def spec(kind: str) -> Write:
    """The write of a kind, as its YAML would say it."""
    found: Write = TypeAdapter(Write).validate_python(SPECS[kind])
    return found


def written(kind: str, table: str, batch: DataFrame, identity: Identity) -> None:
    """The write call."""
    write(batch, spec(kind), target=Table("silver.t", table), identity=identity)


def identity(number: int, *, stream: str = "bench") -> Identity:
    """A batch of a stream."""
    return Identity("bench", f"run{number}", stream, number)


def empty(spark: SparkSession, kind: str, table: Path, batch: str) -> None:
    """A table as the library makes it, with no row."""
    written(kind, str(table), spark.read.parquet(batch).limit(0), identity(0, stream="made"))


def project(root: Path, kind: str) -> None:
    """A project with one job: from ``bronze.events``, which grows, into ``silver.t``."""
    job = {
        "job": "events",
        "about": "The rows of the benchmark.",
        "sources": {"events": {"kind": "table", "table": "bronze.events", "stream": True}},
        "write": SPECS[kind],
    }
    files = {"conf/events.yaml": json.dumps(job), "conf/env/local.yaml": "lake: .lake\n", "jobs/events.py": JOB}
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def lake(spark: SparkSession, kind: str, root: Path, table: Path, batches: list[str]) -> None:
    """A lake whose job ran before, and whose source has new rows since.

    The batch that it ran on is one row that the table has, so the target is still as it was; the checkpoint, the ledger
    and the classes of a running job are there.
    """
    project(root, kind)
    here = root / "lake"
    folder.copy(table, here / "silver" / "t")
    rows = spark.read.format("delta").load(str(table))
    if kind == "scd2":
        rows = rows.where("is_current")
    first = rows.select(*COLUMNS).limit(1)
    if kind == "cdc":
        first = first.withColumn("op", F.lit("U"))
    bronze = str(here / "bronze" / "events")
    first.write.format("delta").save(bronze)
    run(spark, root)
    for batch in batches:
        arrive(spark, root, batch)


def arrive(spark: SparkSession, root: Path, batch: str) -> None:
    """New rows in the job's source."""
    rows = spark.read.parquet(batch)
    rows.coalesce(1).write.format("delta").mode("append").save(str(root / "lake" / "bronze" / "events"))


def run(spark: SparkSession, root: Path) -> None:
    """The job, with all that is new."""
    lakehouse.run(str(root / "conf" / "events.yaml"), spark=spark, lake=str(root / "lake"))


def forget(root: Path) -> None:
    """Make the newest batch one that was written and never acknowledged: it is due again."""
    commits = root / "lake" / "_checkpoints" / "events" / "commits"
    last = max(int(path.name) for path in commits.iterdir() if path.name.isdigit())
    for name in (f"{last}", f".{last}.crc"):
        (commits / name).unlink(missing_ok=True)
