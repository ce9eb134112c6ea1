"""The Spark session that all contenders have, whichever environment they run in."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from pyspark.sql import SparkSession

CORES, HEAP = 2, "8g"
SETTINGS = {
    "spark.master": f"local[{CORES}]",
    "spark.driver.memory": HEAP,
    "spark.driver.extraJavaOptions": "-Xms2g -XX:+UseG1GC",
    "spark.sql.shuffle.partitions": "4",
    # 50 if nothing is said, which would cost the peers seconds
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.databricks.delta.properties.defaults.enableDeletionVectors": "false",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
}


def session(name: str, scratch: Path) -> SparkSession:
    """A session; the class path, Delta's extension and ANSI mode come from the folder in ``SPARK_CONF_DIR``."""
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL)
    builder = SparkSession.builder.appName(name)
    places = {"spark.local.dir": str(scratch / "local"), "spark.sql.warehouse.dir": str(scratch / "warehouse")}
    for key, value in {**SETTINGS, **places, "spark.pyspark.python": sys.executable}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def jvm(spark: SparkSession) -> int:
    """The process id of the session's JVM."""
    return int(spark._jvm.java.lang.ProcessHandle.current().pid())
