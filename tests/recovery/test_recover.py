"""A checkpoint that was lost, damaged or put back: every record is in the target once, as if nothing had happened."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path

import pytest

from lakehouse.errors import LakehouseError, LockedError, RecoveryError
from lakehouse.recovery.recover import recover
from lakehouse.runtime.lock import held
from lakehouse.runtime.workplace import prepare
from lakehouse.write.commit import Plan

pytestmark = pytest.mark.crash

BRONZE = """
sources:
  orders: {kind: files, path: "${param:landing}/orders", max_files: 2}
write: {table: bronze.orders, mode: append}
"""
SILVER = """
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    max_files: 1
    contract: {columns: {id: bigint not null}}
write: {table: silver.orders, mode: append}
"""


def recovered(workshop, job, **options):
    return recover(place(workshop, job), spark=workshop.spark, **options)


def place(workshop, job):
    params = {"landing": str(workshop.landing)} if job == "bronze" else {}
    return prepare(job, lake=str(workshop.folder), params=params, root=workshop.project)


def checkpoint(workshop, job) -> Path:
    return workshop.folder / "_checkpoints" / job


def empty(path: Path) -> None:
    """What a full disk leaves behind."""
    path.write_text("")


def lost(folder: Path) -> None:
    shutil.rmtree(folder)


def emptied(part: str, folder: Path) -> None:
    files = (folder / part).glob("[0-9]*") if (folder / part).is_dir() else [folder / part]
    empty(max(files, key=lambda path: path.stat().st_mtime_ns))


def an_older_copy(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.with_name("older").rename(folder)


def rotten(folder: Path) -> None:
    newest = max((folder / "offsets").glob("[0-9]*"), key=lambda path: int(path.name))
    newest.write_text(newest.read_text().replace('"batchWatermarkMs":0', '"batchWatermarkMs":7'))
    newest.with_name(f".{newest.name}.crc").exists() or empty(newest)  # one that recover wrote has no sums


DAMAGES = {
    "a torn id": partial(emptied, "metadata"),
    "a torn end": partial(emptied, "offsets"),
    "an end with another digit": rotten,
    "a torn commit": partial(emptied, "commits"),
    "a torn list": partial(emptied, "sources/0"),
    "a torn owner": partial(emptied, "owner.json"),
}
NAMES = ["a é.csv", "b%20.csv", "c#[1]{2}.csv", "d\u00a0+&.csv", "e;=@~^`'.csv"]


def twice_hurt(workshop, job, add):
    """Take a job's checkpoint away, then put an older copy back: recovered, it takes what is new and nothing else."""
    folder, older = checkpoint(workshop, job), checkpoint(workshop, "older")
    shutil.copytree(folder, older)
    own = json.loads((folder / "metadata").read_text())["id"]
    for hurt in (lost, an_older_copy):
        add()
        assert workshop.run(job).rows.read == 1
        hurt(folder)
        planned = recovered(workshop, job, dry_run=True)
        assert (planned.status, planned.stream) == ("planned", own)
        assert recovered(workshop, job).status == "done"
        assert recovered(workshop, job).status == "nothing"
        assert json.loads((folder / "metadata").read_text())["id"] == own
        add()
        again = workshop.run(job)
        assert (again.batches, again.rows.read) == (1, 1)


def test_files_are_read_once_whatever_became_of_the_checkpoint(workshop):
    workshop.job("bronze", BRONZE)
    for name in NAMES:
        workshop.land(f"orders/{name}", f"id\n{name}\n")
    workshop.land("orders/none.csv", "")
    workshop.run("bronze")
    names = iter("1234")

    def add():
        name = next(names)
        workshop.land(f"orders/{name}.csv", f"id\n{name}\n")

    twice_hurt(workshop, "bronze", add)
    assert workshop.rows("bronze.orders", "id") == sorted([(name,) for name in [*NAMES, *"1234"]], key=repr)
    assert workshop.frame("ops.runs").where("event = 'recover'").count() == 2


def test_the_times_of_files_that_sparks_log_does_not_tell_are_kept(workshop):
    workshop.job("bronze", BRONZE.replace("max_files: 2", "control: .ctl"))
    for name in ("a.csv", "a.ctl", "none.ctl"):
        workshop.land(f"orders/{name}", "id\n1\n" if name == "a.csv" else "")
    workshop.run("bronze")
    noted = checkpoint(workshop, "bronze") / "grown.json"
    known = json.loads(noted.read_text())
    assert sorted(known) == [f"{workshop.landing}/orders/a.csv", f"{workshop.landing}/orders/none"]
    # as a requeue and a batch that is no more note it
    mended, undone = f"{workshop.landing}/orders/a.ctl", f"{workshop.landing}/orders/b.csv"
    noted.write_text(json.dumps({**known, mended: 7, undone: 7}))
    empty(noted.with_name("metadata"))
    assert recovered(workshop, "bronze").status == "done"
    assert json.loads(noted.read_text()) == {**known, mended: 7}
    lost(noted.parent)
    assert recovered(workshop, "bronze").status == "done"
    assert list(json.loads(noted.read_text())) == [f"{workshop.landing}/orders/a.csv"]
    assert workshop.run("bronze").batches == 0


def test_what_is_damaged_is_named_and_a_dry_run_changes_nothing(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    workshop.run("bronze")
    folder = checkpoint(workshop, "bronze")
    whole = shutil.copytree(folder, folder.with_name("whole"))
    for name, damage in DAMAGES.items():
        damage(folder)
        planned = recovered(workshop, "bronze", dry_run=True)
        assert planned.status == "planned", name
        assert planned.why[0].endswith("is damaged"), name
        shutil.rmtree(folder)
        shutil.copytree(whole, folder)
    assert recovered(workshop, "bronze").status == "nothing"


def test_rows_of_a_table_are_read_once_whatever_became_of_the_checkpoint(workshop):
    workshop.job("silver", SILVER)
    for value in ("1", "2", "3"):
        workshop.put("bronze.orders", "id string", [(value,)])
    assert workshop.run("silver").batches == 3
    ids = iter("4567")
    twice_hurt(workshop, "silver", lambda: workshop.put("bronze.orders", "id string", [(next(ids),)]))
    assert [row[0] for row in workshop.rows("silver.orders", "id")] == list(range(1, 8))


def test_a_batch_that_put_rows_aside_and_reached_no_further_comes_again_as_it_was(workshop, monkeypatch):
    workshop.job("silver", SILVER)
    workshop.put("bronze.orders", "id string", [("1",), ("bad",)])
    workshop.run("silver")
    workshop.put("bronze.orders", "id string", [("2",), ("worse",)])

    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.write.commit.Plan.commit", killed)
        with pytest.raises(LakehouseError, match="killed"):
            workshop.run("silver")
    workshop.put("bronze.orders", "id string", [("3",)])
    lost(checkpoint(workshop, "silver"))
    assert recovered(workshop, "silver").again == 1
    result = workshop.run("silver")
    assert (result.batches, result.rows.read, result.rows.quarantined) == (2, 3, 1)
    assert [row[0] for row in workshop.rows("silver.orders", "id")] == [1, 2, 3]
    assert len(workshop.rows("quarantine.silver_orders", "record")) == 2


def test_the_ledger_tells_of_batches_whose_commits_the_log_has_lost_and_without_it_there_is_an_error(workshop):
    workshop.job("bronze", BRONZE)
    for name in "abc":
        workshop.land(f"orders/{name}.csv", f"id\n{name}\n")
        workshop.run("bronze")
    log = workshop.folder / "bronze" / "orders" / "_delta_log"
    keep_the_newest_state(workshop, log)
    lost(checkpoint(workshop, "bronze"))
    ledger = workshop.folder / "ops" / "runs"
    ledger.rename(ledger.with_name("away"))
    with pytest.raises(RecoveryError, match="nothing tells of the batches") as caught:
        recovered(workshop, "bronze")
    assert "--full-refresh" in caught.value.hint
    ledger.with_name("away").rename(ledger)
    assert recovered(workshop, "bronze").batch == 2
    assert workshop.run("bronze").batches == 0


def keep_the_newest_state(workshop, log):
    """What Delta's own clean-up leaves behind: a checkpoint, and the newest commit."""
    table = f"delta.`{log.parent}`"
    workshop.spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
    old = sorted(log.glob("[0-9]*.json"))[:-1]
    assert list(log.glob("*.checkpoint.parquet"))
    for path in old:
        path.unlink()
        log.joinpath(f".{path.name}.crc").unlink(missing_ok=True)


def test_what_was_decided_is_done_by_the_next_run_and_not_by_a_runner_that_is_alive(workshop, monkeypatch):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    workshop.run("bronze")
    lost(checkpoint(workshop, "bronze"))
    work = place(workshop, "bronze")
    with held(work.lake, "bronze"), pytest.raises(LockedError, match="pid"):
        recovered(workshop, "bronze")
    with monkeypatch.context() as patched:
        patched.setattr("lakehouse.runtime.setback._swap", killed)
        with pytest.raises(RuntimeError, match="killed"):
            recovered(workshop, "bronze")
    assert workshop.run("bronze").batches == 0
    assert workshop.rows("bronze.orders", "id") == [("1",)]
    assert {path.name for path in checkpoint(workshop, "bronze").parent.iterdir()} == {
        "bronze",
        "bronze.lock",
        "bronze.lock.java",
    }


def killed(*_):
    message = "killed"
    raise RuntimeError(message)


def test_a_rebuild_that_failed_is_no_history_of_the_table(workshop, monkeypatch):
    workshop.put("bronze.orders", "id bigint", [(1,), (None,)])
    workshop.job("silver", SILVER)
    workshop.run("silver")
    commit = Plan.commit

    def killed(plan, spark):
        if "_refresh" in plan.target.path:
            raise RuntimeError("killed")
        return commit(plan, spark)

    monkeypatch.setattr("lakehouse.write.commit.Plan.commit", killed)
    with pytest.raises(LakehouseError, match="killed"):
        workshop.run("silver", full_refresh=True)
    monkeypatch.undo()
    assert recovered(workshop, "silver").status == "nothing"
    shutil.rmtree(checkpoint(workshop, "silver"))
    assert recovered(workshop, "silver").status == "done"
    workshop.put("bronze.orders", "id bigint", [(2,)])
    workshop.run("silver")
    assert workshop.rows("silver.orders", "id") == [(1,), (2,)]
