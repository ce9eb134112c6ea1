"""Pytest fixtures: ``spark``, one session for the whole run, and ``lake``, a new lake for each test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from lakehouse.testing.lake import LocalLake

_SETTINGS = {
    "spark.master": "local[2]",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.adaptive.enabled": "false",
    # small frames and many plans: to compile each of them takes longer than to run it
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.constraintPropagation.enabled": "false",
    "spark.databricks.delta.snapshotPartitions": "1",
    # Each test has tables of its own, which Delta would keep for an hour, as Spark keeps what it shows of jobs.
    "spark.databricks.delta.delta.log.cacheSize": "50",
    "spark.sql.ui.retainedExecutions": "5",
    "spark.ui.retainedJobs": "20",
    "spark.ui.retainedStages": "20",
    "spark.ui.retainedTasks": "100",
    "spark.driver.memory": "2g",
    # and so with the second compiler of Java, and with threads that collect garbage beside the work
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=256m -XX:+UseSerialGC",
    "spark.ui.enabled": "false",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """A small local session with what a job's meaning depends on; ends with the run of the tests."""
    from lakehouse.runtime.session import settled, start

    session = start("tests", _SETTINGS)
    with settled(session, {}):
        yield session
    session.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path: Path, pytestconfig: pytest.Config) -> LocalLake:
    """A new lake in a temporary folder; its jobs are those of the project that the tests belong to."""
    from lakehouse.testing.lake import LocalLake

    return LocalLake(spark, tmp_path / "lake", pytestconfig.rootpath)
