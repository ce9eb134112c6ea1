"""Where things are in a lake."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError, LakeNotWritableError
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.frame import literal, quoted
from lakehouse.lake.statements import run_sql
from lakehouse.lake.storage import local
from lakehouse.lake.table import Table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


_S3 = {"s3", "s3a", "s3n"}

_PUT_IF_ABSENT = "io.delta.storage.S3DynamoDBLogStore"


@dataclass(frozen=True)
class Lake:
    """A lake's root folder, and the catalog that its tables are registered in, if any.

    ``single_writer``: whoever runs the jobs sees to it that there is never more than one process that writes.
    """

    root: str
    catalog: str | None = None
    single_writer: bool = False

    def table(self, name: str) -> Table:
        """The table ``schema.table``: the folder ``<root>/<schema>/<table>``."""
        return Table(name, f"{self.root}/{name.replace('.', '/')}")

    def quarantine(self, name: str) -> Table:
        """Where rows go that the table ``name`` could not take."""
        return self.table(f"quarantine.{name.replace('.', '_')}")

    @property
    def ledger(self) -> Table:
        """Every batch and run of every job."""
        return self.table("ops.runs")

    @property
    def quality(self) -> Table:
        """How good the rows of every batch were."""
        return self.table("ops.quality")

    def checkpoint(self, job: str) -> Checkpoint:
        """The progress of a job."""
        return Checkpoint(f"{self.root}/_checkpoints/{job}")

    def writable(self) -> None:
        """Make the root, where it is a folder of this machine.

        Raises:
            LakeNotWritableError: it cannot be made or written.
        """
        place = local(self.root)
        if place is None:
            return
        try:
            (place / "_checkpoints").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=place):
                pass
        except OSError as error:
            message = f"the lake {self.root} cannot be written: {os.strerror(error.errno or 0)}"
            raise LakeNotWritableError(
                message, hint="make the folder writable, or choose another by --lake or the environment's lake:"
            ) from None

    def guarded(self, spark: SparkSession) -> None:
        """Make sure that no writer can put its commit over another's; every command that writes asks first.

        S3 is written by Delta as if nobody else did, unless a log store makes commits put-if-absent; Databricks has
        its own.

        Raises:
            ConfigError: nothing does, and nobody said that there is one writer only.
        """
        scheme = self.root.partition("://")[0].lower()
        if scheme not in _S3 or self.single_writer or "DATABRICKS_RUNTIME_VERSION" in os.environ:
            return
        setting = f"spark.delta.logStore.{scheme}.impl"
        if spark.conf.get(setting, None) != _PUT_IF_ABSENT:
            message = f"the lake {self.root}: two writers on S3 may overwrite each other's commits, and rows are lost"
            hint = (
                f"set {setting}={_PUT_IF_ABSENT} for every writer, in Spark's own defaults; or say single_writer: true "
                "in conf/env/<name>.yaml, where no two processes ever write"
            )
            raise ConfigError(message, hint=hint)

    def register(self, spark: SparkSession, table: Table) -> None:
        """Give the table its name in the catalog, if the environment has one."""
        if self.catalog:
            schema, name = table.name.split(".")
            full = ".".join(map(quoted, (self.catalog, schema, name)))
            run_sql(spark, f"CREATE SCHEMA IF NOT EXISTS {quoted(self.catalog)}.{quoted(schema)}")
            run_sql(spark, f"CREATE TABLE IF NOT EXISTS {full} USING DELTA LOCATION {literal(table.path)}")
