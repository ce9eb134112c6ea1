"""A sample of hostile names of files and columns: rows arrive under them, or are in quarantine with a code."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from tests.attacks.names import NAMES, play


def test_a_row_of_a_hostile_name_arrives_or_is_in_quarantine(spark: SparkSession, tmp_path: Path) -> None:
    assert len(NAMES) >= 200
    assert play(spark, tmp_path, 1, 60) == []
