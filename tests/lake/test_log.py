"""What a commit says of itself is its writer's business: nothing that is said there stops a reader."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, cast

import pytest

from lakehouse.lake.log import parse_info, parse_note, read_actions
from lakehouse.lake.look import look, weighed
from lakehouse.lake.table import Commit, Table, commits, head

NO_SPARK = cast("Any", None)
NOTE = {"job": "j", "run_id": "r", "stream": "s", "batch": 1, "step": "target", "inputs": {}, "rows": {}, "counts": {}}
SCHEMA = json.dumps({"type": "struct", "fields": [{"name": "a", "type": "long", "nullable": True, "metadata": {}}]})
TABLE = [
    {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2, "readerFeatures": None, "writerFeatures": None}},
    {"metaData": {"id": "t", "format": {"provider": "parquet"}, "schemaString": SCHEMA, "partitionColumns": None}},
]


def table_of(folder: Path, *versions: list[Any]) -> Table:
    """A table whose commits are these actions."""
    log = folder / "_delta_log"
    log.mkdir(parents=True)
    for number, actions in enumerate(versions):
        text = "\n".join(one if isinstance(one, str) else json.dumps(one) for one in actions)
        (log / f"{number:020d}.json").write_text(text, encoding="utf-8")
    return Table("bronze.t", str(folder))


@pytest.mark.parametrize(
    ("said", "metrics"),
    [
        ({"numOutputRows": "3", "executionTimeMs": "-1"}, {"numOutputRows": 3, "executionTimeMs": -1}),
        ({"num_added_rows": 3, "share": 0.5, "whole": 4.0}, {"num_added_rows": 3, "whole": 4}),
        ({"a": None, "b": True, "c": [], "d": {"min": 1}, "e": "²", "f": "9" * 5000, "g": "", "h": 1}, {"h": 1}),
        (None, {}),
        ("numOutputRows", {}),
        ([1], {}),
    ],
)
def test_metrics_are_numbers_texts_or_nothing(said: object, metrics: dict[str, int]) -> None:
    assert parse_info({"operationMetrics": said}).metrics == metrics


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"timestamp": 1704110400000}, "2024-01-01 12:00:00.000"),
        ({"timestamp": "1704110400000"}, "2024-01-01 12:00:00.000"),
        ({"timestamp": 1, "inCommitTimestamp": 1704110400000}, "2024-01-01 12:00:00.000"),
        *[({"timestamp": odd}, "") for odd in (None, True, "2024-01-01T00:00:00Z", {}, 10**18, 10**40)],
        ({}, ""),
    ],
)
def test_a_time_that_is_none_is_not_taken_for_one(said: dict[str, Any], at: str) -> None:
    assert parse_info(said).at == at


OTHERS = [None, 5, True, {"lakehouse": NOTE}, "", "x", "[1]", "5", "null", '{"lakehouse": 5}', '{"lakehouse": [1]}']
FORGED: list[dict[str, Any]] = [
    *[{**NOTE, name: 5.5} for name in NOTE],
    {**NOTE, "batch": True},
    {**NOTE, "version": "x"},
    {"stream": "s", "step": "target"},
    {"run_id": "r"},
]


def test_a_note_of_somebody_else_is_none_of_ours() -> None:
    for text in (*OTHERS, "[" * 100_000, *[json.dumps({"lakehouse": one}) for one in FORGED]):
        assert parse_note(text) == {}, text
    assert parse_note(json.dumps({"lakehouse": NOTE, "more": 1})) == NOTE


@pytest.mark.parametrize(
    "actions",
    [
        [],
        [{"commitInfo": None}],
        [{"commitInfo": "x"}, {"commitInfo": []}],
        ["", "  ", "not JSON", "[1]", "5", '{"commitInfo": ' + "[" * 100_000, "\ufeff{}"],
        [{"commitInfo": {"operation": None, "timestamp": None, "operationMetrics": None, "userMetadata": None}}],
        [{"commitInfo": {"operation": 5, "operationParameters": "x", "operationMetrics": {"a": {"b": 1}}}}],
        [{"txn": None, "commitInfo": {"timestamp": {}}}],
    ],
)
def test_a_commit_that_says_nothing_is_a_commit_that_may_have_changed_rows(actions: list[Any], tmp_path: Path) -> None:
    table = table_of(tmp_path, TABLE, actions)
    file = tmp_path / "_delta_log" / f"{1:020d}.json"
    os.utime(file, (1704110400, 1704110400))
    found = head(NO_SPARK, table)
    assert found == Commit(1, "", {}, {}, "2024-01-01 12:00:00.000")
    assert found.changes_rows
    seen = look(NO_SPARK, table)
    assert seen
    assert (seen.schema.names, seen.layout.partition_by, dict(seen.properties), seen.features) == (["a"], (), {}, set())


def test_an_action_is_found_however_its_line_is_written(tmp_path: Path) -> None:
    lines = ['  { "commitInfo" : {"operation": "A"} }\r', '{"add":null,"commitInfo":{"operation":"B"}}']
    table = table_of(tmp_path, lines)
    file = tmp_path / "_delta_log" / f"{0:020d}.json"
    assert [said["operation"] for _, said in read_actions(file, ("commitInfo",))] == ["A", "B"]
    assert [one.operation for one in commits(NO_SPARK, table, 5)] == ["A"]


def test_a_log_that_was_cleaned_down_to_a_checkpoint_has_a_newest_version(tmp_path: Path) -> None:
    table = table_of(tmp_path)
    (tmp_path / "_delta_log" / f"{7:020d}.checkpoint.0000000001.0000000002.parquet").touch()
    assert [one.version for one in commits(NO_SPARK, table, 5)] == [7]
    (tmp_path / "_delta_log" / f"{8:020d}.json").write_text("{}")
    assert [one.version for one in commits(NO_SPARK, table, 5)] == [8, 7]


@pytest.mark.parametrize("text", ["", "x", "5", "[]", "{}", '{"numFiles": null}', '{"numFiles": {}, "metadata": 5}'])
def test_a_checksum_file_of_another_form_tells_nothing(text: str, tmp_path: Path) -> None:
    table = table_of(tmp_path, TABLE)
    (tmp_path / "_delta_log" / f"{0:020d}.crc").write_text(text)
    found = head(NO_SPARK, table)
    assert found
    assert weighed(table, found) == (0, 0)
    assert look(NO_SPARK, table)
