"""Hostile text files end as records, quarantined records or quarantined files: all are accounted for, none ends the run."""

from __future__ import annotations

from pathlib import Path

from pyspark.sql import SparkSession

from tests.attacks.play import play_text_files


def test_every_record_of_a_hostile_file_is_accounted_for(spark: SparkSession, tmp_path: Path) -> None:
    assert play_text_files(spark, tmp_path, 20261130, 70) == []
