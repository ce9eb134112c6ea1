"""The write engine, and SQL jobs, on a Spark Connect session: the same tests, in a process of their own, as one process has one kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.connect

ROOT = Path(__file__).resolve().parents[2]
SAME = (
    "tests/write/test_traps.py::test_each_batch_is_one_commit",
    "tests/write/test_traps.py::test_a_late_update_does_not_bring_back_what_was_deleted",
    "tests/write/test_traps.py::test_a_late_event_goes_before_the_first_version_or_into_a_gap",
    "tests/write/test_traps.py::test_a_correction_with_the_same_time_has_one_winner_that_no_replay_changes",
    "tests/write/test_traps.py::test_a_key_with_a_NULL_in_it_is_one_key_however_often_it_comes",
    "tests/write/test_histories.py::test_the_table_is_the_fold_of_all_that_came[append, told by source]",
    "tests/write/test_histories.py::test_the_table_is_the_fold_of_all_that_came[scd1]",
    "tests/write/test_histories.py::test_the_table_is_the_fold_of_all_that_came[scd2]",
    "tests/write/test_histories.py::test_the_table_is_the_fold_of_all_that_came[snapshots by file, as scd1]",
    "tests/write/test_overwrite.py::test_rows_outside_of_replace_where_are_an_error_and_the_others_are_replaced",
    "tests/runtime/test_query.py::test_parameters_are_values_whatever_is_in_them_and_no_view_is_left",
)


def test_the_engine_does_the_same_on_spark_connect() -> None:
    # what the server was started with cannot be set again, and Spark warns of each setting
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-W", "ignore", "-p", "no:cacheprovider", *SAME]
    environment = {**os.environ, "SPARK_API_MODE": "connect"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
