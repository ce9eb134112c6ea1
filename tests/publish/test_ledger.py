"""The ledger has one row for each batch and each run, and takes no counts that do not add up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from lakehouse.errors import ImbalanceError
from lakehouse.lake.place import Lake
from lakehouse.publish.ledger import Event, Rows, newest_batch, record

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ROWS = Rows(
    read=9,
    accepted=6,
    quarantined=2,
    dropped=1,
    produced=5,
    inserted=1,
    updated=1,
    unchanged=1,
    superseded=1,
    rejected=1,
)

if TYPE_CHECKING:
    from lakehouse.testing import LocalLake


def test_events_are_added_together_and_say_what_became_of_every_row(lake: LocalLake) -> None:
    ledger = Lake(str(lake.folder)).ledger
    batch = Event(
        "batch", "j'ob", "run 1", "done", BEGIN, target="silver.t", batch=0, stream="s", inputs={"o": {"files": [["é'", 1]]}},
        rows=ROWS, rules={"r": 2}, version=7, rows_added=2, rows_removed=1, seconds={"read": 0.25},
    )  # fmt: skip
    run = Event("run", "j'ob", "run 1", "failed", BEGIN, error_code="X", error_message="x" * 9000)
    assert newest_batch(lake.spark, ledger, "s") == -1
    record(lake.spark, ledger, [batch, run])
    record(lake.spark, ledger, [run])
    assert lake.version("ops.runs") == 2
    assert (newest_batch(lake.spark, ledger, "s"), newest_batch(lake.spark, ledger, "other")) == (0, -1)
    found = lake.rows("ops.runs", "event", "run_id", "status", "batch", "stream")
    assert found == [
        ("batch", "run 1", "done", 0, "s"),
        ("run", "run 1", "failed", None, None),
        ("run", "run 1", "failed", None, None),
    ]
    row = lake.frame("ops.runs").where("batch = 0").collect()[0]
    assert {name: row[name] for name in ("job", "target", "version", "rows_added", "rows_removed", "read", "superseded")} == {
        "job": "j'ob", "target": "silver.t", "version": 7, "rows_added": 2, "rows_removed": 1, "read": 9, "superseded": 1,
    }  # fmt: skip
    assert (row.rules, row.seconds, row.inputs) == ({"r": 2}, {"read": 0.25}, '{"o": {"files": [["\\u00e9\'", 1]]}}')
    texts = lake.frame("ops.runs").selectExpr(
        "cast(started_at as string)", "length(error_message)", "ended_at >= started_at"
    )
    assert {tuple(row) for row in texts.collect()} == {
        ("2026-01-02 03:04:05.678901", None, True),
        ("2026-01-02 03:04:05.678901", 4000, True),
    }


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (replace(ROWS, dropped=0), "read 9 rows, and accounted for 8"),
        (replace(ROWS, read=8), "read 8 rows, and accounted for 9"),
        (replace(ROWS, deleted=1), "produced 5 rows, and accounted for 6"),
        (Rows(filtered=1), "produced 0 rows, and accounted for 1"),
    ],
)
def test_counts_that_do_not_add_up_are_an_error(rows: Rows, told: str) -> None:
    with pytest.raises(ImbalanceError, match=told):
        rows.balance()


def test_counts_of_batches_add_up_to_those_of_the_run() -> None:
    assert (ROWS + ROWS).balance() == Rows(
        read=18,
        accepted=12,
        quarantined=4,
        dropped=2,
        produced=10,
        inserted=2,
        updated=2,
        unchanged=2,
        superseded=2,
        rejected=2,
    )
    assert sum([ROWS], Rows()) == ROWS
