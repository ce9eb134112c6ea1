"""A session of somebody else's, while a job runs in it."""

from __future__ import annotations

from pyspark.sql import SparkSession

from lakehouse.runtime.session import settled
from lakehouse.spec.settings import FIXED, UNSET


def test_what_a_foreign_session_has_chosen_of_values_and_rows_does_not_hold_for_a_job(spark: SparkSession) -> None:
    """Half a file vanished where a notebook, or ``spark-defaults.conf``, had ``ignoreCorruptFiles``."""
    foreign = spark.newSession()
    chosen = {
        "spark.sql.files.ignoreCorruptFiles": "true",
        "spark.sql.files.ignoreMissingFiles": "true",
        "spark.sql.caseSensitive": "true",
        "spark.sql.legacy.timeParserPolicy": "LEGACY",
        "spark.sql.mapKeyDedupPolicy": "LAST_WIN",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.databricks.delta.write.txnAppId": "mine",
        "spark.databricks.delta.write.txnVersion": "7",
        "spark.databricks.delta.schema.autoMerge.enabled": "true",
        "spark.sql.shuffle.partitions": "7",
    }
    for key, value in chosen.items():
        foreign.conf.set(key, value)
    with settled(foreign, {"spark.sql.shuffle.partitions": "3"}):
        assert {key: foreign.conf.get(key, fixed.value) for key, fixed in FIXED.items()} == {
            key: fixed.value for key, fixed in FIXED.items()
        }
        assert [foreign.conf.get(key, None) for key in UNSET] == [None] * len(UNSET)
        assert foreign.conf.get("spark.sql.shuffle.partitions") == "3"
    assert {key: foreign.conf.get(key) for key in chosen} == chosen
