"""What a log with a RESTORE tells of a job's batches, and what it does not tell."""

from __future__ import annotations

import sqlite3
from itertools import islice
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse.errors import CheckpointError, RecoveryError
from lakehouse.lake.table import Commit
from lakehouse.recovery.checkpoint import check_files
from lakehouse.recovery.history import History, Past, taken_back
from lakehouse.runtime.setback import Setback, _gone
from lakehouse.write.setback import check_history, newest_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


TARGET: Any = SimpleNamespace(name="silver.t")
NO_SPARK: Any = None


def own(version: int, run: str = "run") -> Commit:
    return Commit(version, "MERGE", note={"job": "silver", "step": "target", "stream": "s", "run_id": run})


def restore(version: int, to: str) -> Commit:
    return Commit(version, "RESTORE", restored=to)


def logged(monkeypatch: pytest.MonkeyPatch, log: Sequence[Commit]) -> list[int]:
    """Let a log be that of every table; how many commits of it were asked for."""
    asked: list[int] = []

    def commits(_: Any, __: Any, limit: int) -> list[Commit]:
        asked.append(limit)
        return list(islice(reversed(log), limit))

    monkeypatch.setattr("lakehouse.write.setback.commits", commits)
    monkeypatch.setattr("lakehouse.recovery.history.commits", commits)
    return asked


def past(*versions: int) -> History:
    return History("s", {n: Past(n, "run", {}, at) for n, at in enumerate(versions)}, None, -1, wrote=True)


def test_batches_that_stand_after_one_that_is_gone_are_not_written_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    logged(monkeypatch, [own(0), own(1), own(2), restore(3, "0")])
    assert taken_back(NO_SPARK, TARGET, past(0, 1, 2)) == {1, 2}
    logged(monkeypatch, [own(0), own(1), own(2), restore(3, "0"), own(4)])
    match = r"holds no more what batch 1, 2 committed to it, and holds what batch 3 did"
    with pytest.raises(RecoveryError, match=match) as found:
        taken_back(NO_SPARK, TARGET, past(0, 1, 2, 4))
    assert "lakehouse replay" in found.value.hint
    assert "--full-refresh" in found.value.hint


@pytest.mark.parametrize("to", ["2026-11-01 10:00:00.0", ""])
def test_a_restore_that_tells_no_version_is_refused_and_one_to_a_version_puts_it_right(
    monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    log = [own(0), own(1), restore(2, to)]
    logged(monkeypatch, log)
    with pytest.raises(CheckpointError, match="whether that took back version 1 of silver cannot be told") as error:
        check_history(NO_SPARK, TARGET, "silver", {})
    assert "VERSION AS OF 1" in error.value.hint
    with pytest.raises(RecoveryError, match="which batches that took back cannot be told") as found:
        taken_back(NO_SPARK, TARGET, past(0, 1))
    assert "VERSION AS OF 1" in found.value.hint
    logged(monkeypatch, [*log, restore(3, "1")])
    check_history(NO_SPARK, TARGET, "silver", {})
    assert taken_back(NO_SPARK, TARGET, past(0, 1)) == set()
    # runs have gone on since: to restore would take them back, too
    logged(monkeypatch, [*log, own(3)])
    check_history(NO_SPARK, TARGET, "silver", {})
    with pytest.raises(RecoveryError, match="cannot be told") as found:
        taken_back(NO_SPARK, TARGET, past(0, 1, 3))
    assert "RESTORE" not in found.value.hint


def test_a_version_of_which_the_log_says_nothing_may_be_the_one_that_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    reached = {"version": 1, "run_id": "run"}
    logged(monkeypatch, [own(0), Commit(1, ""), own(2, "other")])
    check_history(NO_SPARK, TARGET, "silver", reached)
    logged(monkeypatch, [own(0), own(1, "other"), own(2, "other")])
    with pytest.raises(CheckpointError, match="made again"):
        check_history(NO_SPARK, TARGET, "silver", reached)


def test_the_whole_log_is_asked_for_only_where_its_newest_part_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    others = [Commit(version, "WRITE") for version in range(3, 300)]
    asked = logged(monkeypatch, [own(0), own(1), own(2)])
    check_history(NO_SPARK, TARGET, "silver", {"version": 2, "run_id": "run"})
    assert max(asked) == 100
    asked = logged(monkeypatch, [own(0), own(1), own(2), *others])
    newest = newest_of(NO_SPARK, TARGET, "silver")
    assert newest is not None
    assert newest.version == 2
    assert asked[0] == 100
    assert len(asked) == 2


def test_what_a_chain_of_checkpoints_put_aside_is_taken_back_of_each() -> None:
    wanted = Setback("recover", "silver", "r", stream="third", of="second", line=("first",), batch=1)
    rows = [(stream, batch) for stream in ("first", "second", "other") for batch in range(3)]
    with sqlite3.connect(":memory:") as base:
        base.execute("CREATE TABLE q (stream TEXT, batch INT)")
        base.executemany("INSERT INTO q VALUES (?, ?)", rows)
        found = base.execute(f"SELECT stream, batch FROM q WHERE {_gone(wanted, 'stream', 'batch')}").fetchall()
    assert found == [("first", 2), ("second", 2)]


def test_files_that_are_gone_are_not_said_to_come_again(tmp_path: Path) -> None:
    there, gone = tmp_path / "there.json", tmp_path / "gone.json"
    there.touch()
    work: Any = SimpleNamespace(job=SimpleNamespace(stream=("orders", None)))
    files = [[str(there), 1, 1], [str(gone), 1, 1], ["s3://bucket/unseen.json", 1, 1]]
    one = History("s", {0: Past(0, "run", {"orders": {"files": files}}, 0)}, None, -1, wrote=True)
    with pytest.raises(RecoveryError, match=r"1 files that are to be read again are gone, such as .*gone\.json"):
        check_files(work, one, [0])
    gone.touch()
    check_files(work, one, [0])
