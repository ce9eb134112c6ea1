"""A target that somebody changed by hand: what the next run says of it, and what puts it right."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lakehouse.errors import CheckpointError, RecoveryError
from lakehouse.recovery.recover import recover
from lakehouse.recovery.replay import replay, span
from lakehouse.runtime.requeue import requeue
from lakehouse.runtime.workplace import prepare

pytestmark = pytest.mark.crash

if TYPE_CHECKING:
    from pathlib import Path

JOB = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true}
write: {table: silver.t, WRITE}
"""
WRITES = {
    "append": "mode: append",
    "scd1": "mode: scd1, evolve: add_columns, keys: k, sequence_by: at, apply_as_deletes: op = 'D'",
    "scd2": "mode: scd2, keys: k, sequence_by: at, apply_as_deletes: op = 'D'",
}


class Hand:
    """A job and its table, and what a person does to it."""

    def __init__(self, workshop: Any, mode: str) -> None:
        self.workshop, self.spark, self.at = workshop, workshop.spark, 0
        self.folder: Path = workshop.folder / "silver" / "t"
        workshop.job("silver", JOB.replace("WRITE", WRITES[mode]))

    def come(self, *rows: tuple[str, int, str]) -> Any:
        if rows:
            self.workshop.put("bronze.orders", "k string, at int, op string", list(rows))
        return self.workshop.run("silver")

    def sql(self, statement: str) -> None:
        table = f"delta.`{self.folder}`"
        self.spark.sql(statement.replace("TABLE t", f"TABLE {table}").replace("FROM t", f"FROM {table}")).collect()

    def refused(self, match: str) -> CheckpointError:
        with pytest.raises(CheckpointError, match=match) as found:
            self.workshop.run("silver")
        return found.value

    @property
    def work(self) -> Any:
        return prepare("silver", lake=str(self.workshop.folder), root=self.workshop.project)

    def recover(self) -> Any:
        return recover(self.work, spark=self.spark)

    @property
    def keys(self) -> list[str]:
        return [row[0] for row in self.workshop.rows("silver.t", "k")]


@pytest.mark.parametrize("mode", WRITES)
def test_a_restore_by_hand_is_an_error_and_recover_lets_what_it_took_back_come_again(workshop: Any, mode: str) -> None:
    hand = Hand(workshop, mode)
    for number in (1, 2, 3):
        hand.come((f"k{number}", number, "U"))
    hand.sql("RESTORE TABLE t TO VERSION AS OF 1")
    workshop.put("bronze.orders", "k string, at int, op string", [("k4", 4, "U")])
    error = hand.refused(r"silver\.t was restored by hand .version 4. to 1, which took back version 3")
    assert "lakehouse recover silver" in error.hint
    assert "VERSION AS OF 3" in error.hint
    assert hand.keys == ["k1"]
    report = hand.recover()
    assert (report.status, report.batch) == ("done", 0)
    # what was taken back comes with what is new, and the next run has nothing to do
    assert hand.come().rows.inserted == 3
    assert hand.keys == ["k1", "k2", "k3", "k4"]
    assert hand.come().batches == 0
    assert hand.recover().status == "nothing"


def test_a_restore_that_is_taken_back_by_another_one_is_no_matter(workshop: Any) -> None:
    hand = Hand(workshop, "append")
    hand.come(("k1", 1, "U"))
    hand.come(("k2", 2, "U"))
    hand.sql("RESTORE TABLE t TO VERSION AS OF 0")
    hand.refused("restored by hand")
    hand.sql("RESTORE TABLE t TO VERSION AS OF 2")
    hand.come(("k3", 3, "U"))
    # to before somebody else's change, which is after all of the job's
    hand.sql("DELETE FROM t WHERE k = 'k1'")
    hand.sql("RESTORE TABLE t TO VERSION AS OF 5")
    hand.come(("k4", 4, "U"))
    assert hand.keys == ["k1", "k2", "k3", "k4"]


def test_a_table_put_back_from_a_copy_or_made_again_is_an_error_and_recover_mends_it(
    workshop: Any, tmp_path: Path
) -> None:
    hand = Hand(workshop, "scd1")
    hand.come(("k1", 1, "U"), ("gone", 1, "U"))
    shutil.copytree(hand.folder, tmp_path / "copy")
    hand.come(("k2", 2, "U"), ("gone", 2, "D"))
    shutil.rmtree(hand.folder)
    shutil.copytree(tmp_path / "copy", hand.folder)
    error = hand.refused(r"silver\.t is at version 1 and lacks version 2 of silver")
    assert "lakehouse recover silver" in error.hint
    assert hand.recover().batch == 0
    hand.come(("k3", 3, "U"), ("gone", 1, "U"))
    assert hand.keys == ["k1", "k2", "k3"]
    shutil.rmtree(hand.folder)
    hand.refused("not there any more")
    assert hand.recover().batch == -1
    hand.come()
    assert hand.keys == ["k1", "k2", "k3"]
    # made again by somebody else, with rows of his
    shutil.rmtree(hand.folder)
    other = hand.spark.createDataFrame([("other", 1, "U")], "k string, at int, op string")
    for _ in range(3):
        other.write.format("delta").mode("overwrite").save(str(hand.folder))
    hand.refused("made again")
    assert hand.recover().batch == -1
    hand.come()
    assert hand.keys == ["k1", "k2", "k3", "other"]


def test_what_others_change_stays_as_they_left_it(workshop: Any) -> None:
    hand = Hand(workshop, "scd1")
    hand.come(*((f"k{number}", 1, "U") for number in range(4)))
    hand.sql("DELETE FROM t WHERE k = 'k0'")
    hand.come(("k4", 1, "U"))
    assert hand.keys == ["k1", "k2", "k3", "k4"]
    frame = hand.spark.createDataFrame([("other", 1, "U")], "k string, at int, op string")
    frame.write.format("delta").mode("overwrite").save(str(hand.folder))
    hand.come(("k5", 1, "U"))
    assert hand.keys == ["k5", "other"]
    hand.spark.sql("SET spark.databricks.delta.retentionDurationCheck.enabled = false")
    hand.spark.sql(f"VACUUM delta.`{hand.folder}` RETAIN 0 HOURS").collect()
    hand.spark.sql("RESET spark.databricks.delta.retentionDurationCheck.enabled")
    hand.come(("k6", 1, "U"), ("other", 2, "D"))
    assert hand.keys == ["k5", "k6"]
    hand.sql("DELETE FROM t")
    hand.come(("k7", 1, "U"))
    assert hand.keys == ["k7"]


def test_a_rebuild_that_was_taken_back_by_hand_is_built_anew(workshop: Any) -> None:
    hand = Hand(workshop, "append")
    hand.come(("k1", 1, "U"))
    workshop.run("silver", full_refresh=True)
    hand.sql("RESTORE TABLE t TO VERSION AS OF 1")
    hand.refused("restored by hand")
    with pytest.raises(RecoveryError, match="rebuilt by version 2") as found:
        hand.recover()
    assert "--full-refresh" in found.value.hint
    workshop.run("silver", full_refresh=True)
    assert hand.come(("k2", 2, "U")).rows.inserted == 1
    assert hand.keys == ["k1", "k2"]


RULED = """
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract: {columns: {k: string not null, at: int not null, op: string}, rules: [{name: small, check: at < 10}]}
"""


def test_what_is_put_aside_is_there_once_after_two_restores_and_none_is_hidden_by_a_requeue_or_a_replay(
    workshop: Any,
) -> None:
    hand = Hand(workshop, "scd1")
    workshop.job("silver", f"{RULED}write: {{table: silver.t, {WRITES['scd1']}}}")
    for number in (1, 2, 3):
        hand.come((f"k{number}", number, "U"), (f"bad{number}", 10, "U"))
    aside = workshop.rows("quarantine.silver_t", "record")
    assert len(aside) == 3
    for version, batch in ((2, 1), (1, 0)):
        hand.sql(f"RESTORE TABLE t TO VERSION AS OF {version}")
        for report in (
            requeue([hand.work], spark=hand.spark),
            replay(hand.work, span("2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"), spark=hand.spark),
        ):
            assert isinstance(report.error, CheckpointError), report
            assert "restored by hand" in report.error.message
        assert hand.recover().batch == batch
        hand.come()
        assert hand.keys == ["k1", "k2", "k3"]
        assert workshop.rows("quarantine.silver_t", "record") == aside
