"""Whole runs: files to bronze to silver to gold, and what must hold whatever happens in between."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lakehouse.errors import (
    CheckpointError,
    ConfigError,
    FileChangedError,
    FileUnreadableError,
    ImbalanceError,
    LakehouseError,
    LakeNotWritableError,
    LockedError,
    NotAppendOnlyError,
    NotDeltaError,
    QualityGateError,
    SchemaDriftError,
    SourceEmptyError,
    SourceNotFoundError,
    TransformError,
)
from lakehouse.lake.checkpoint import Checkpoint
from lakehouse.lake.place import Lake
from lakehouse.publish.ledger import Event
from lakehouse.runtime.journal import Journal
from lakehouse.runtime.lock import held
from lakehouse.runtime.runner import execute
from lakehouse.runtime.workplace import prepare

BRONZE = """
sources:
  orders: {kind: files, path: "${param:landing}/orders"}
write: {table: bronze.orders, mode: append, evolve: add_columns}
"""
SILVER = """
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract:
      columns: {id: bigint not null, amount: "decimal(12,2)", at: timestamp not null}
      rules:
        - {name: positive, check: amount > 0}
        - {name: not_test, check: amount <> 999, on_fail: drop}
write: {table: silver.orders, mode: scd1, keys: id, sequence_by: at}
"""
ROW = "id string, amount string, at string"
SILVER_CODE = 'def transform(orders: DataFrame) -> DataFrame:\n    return orders.drop("_source")\n'
GOLD = """
sources:
  orders: {kind: table, table: silver.orders}
write: {table: gold.days, mode: overwrite, partition_by: day}
"""
GOLD_CODE = """
def transform(orders: DataFrame) -> DataFrame:
    return orders.groupBy(F.to_date("at").alias("day")).agg(F.sum("amount").alias("amount"))
"""


def replay_last_batch(lake, job):
    """What a kill between the target's commit and Spark's own leaves behind."""
    commits = lake.folder / "_checkpoints" / job / "commits"
    newest = max((path for path in commits.iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    newest.unlink()
    (commits / f".{newest.name}.crc").unlink(missing_ok=True)


@pytest.fixture
def pipeline(workshop):
    workshop.job("bronze", BRONZE)
    workshop.job("silver", SILVER, SILVER_CODE)
    workshop.job("gold", GOLD, GOLD_CODE)
    return workshop


def test_rows_go_from_files_to_gold_and_a_second_run_changes_nothing(pipeline):
    pipeline.land(
        "orders/1.csv", "id,amount,at\n1,10.00,2026-01-01T10:00:00Z\n2,20.5,2026-01-02T10:00:00Z\nx,1,2026-01-01\n"
    )
    pipeline.land(
        "orders/2.json",
        '{"id":1,"amount":12.50,"at":"2026-01-01T11:00:00Z"}\n{"id":3,"amount":999,"at":"2026-01-03"}\n',
    )
    bronze, silver, gold = [pipeline.run(name) for name in ("bronze", "silver", "gold")]
    assert (bronze.rows.read, bronze.rows.accepted, bronze.rows.inserted) == (5, 5, 5)
    assert (silver.rows.read, silver.rows.accepted, silver.rows.quarantined, silver.rows.dropped) == (5, 3, 1, 1)
    assert (silver.rows.produced, silver.rows.inserted, silver.rows.superseded) == (3, 2, 1)
    assert [str(row[0]) for row in pipeline.rows("silver.orders", "amount")] == ["12.50", "20.50"]
    assert gold.rows.inserted == 2
    versions = {
        name: pipeline.version(name)
        for name in ("bronze.orders", "silver.orders", "gold.days", "quarantine.silver_orders")
    }
    again = [pipeline.run(name) for name in ("bronze", "silver", "gold")]
    assert [result.batches for result in again] == [0, 0, 0]
    assert versions == {name: pipeline.version(name) for name in versions}


def test_quarantine_holds_the_row_as_received_with_its_place_and_reasons(pipeline):
    pipeline.land("orders/1.csv", 'id,amount,at\n1,1,2026-01-01\n,"12,50",2026-02-30\n2\n')
    pipeline.run("bronze")
    pipeline.run("silver")
    (bad,) = pipeline.rows("quarantine.bronze_orders", "record", "code", "source.position")
    assert bad == ("2", "FIELD_COUNT", 3)
    (row,) = pipeline.frame("quarantine.silver_orders").collect()
    assert json.loads(row.record) == {"id": None, "amount": "12,50", "at": "2026-02-30"}
    assert sorted(row.reasons) == ["CAST:amount", "CAST:at", "NULL_VALUE:id"]
    assert (Path(row.source.file).name, row.source.position, row.stage, row.job) == ("1.csv", 2, "read", "silver")


@pytest.mark.parametrize("job", ["bronze", "silver"])
def test_a_batch_that_was_committed_before_the_crash_is_not_run_twice(pipeline, job):
    pipeline.land("orders/1.csv", "id,amount,at\n1,10,2026-01-01\n2,bad,2026-01-01\n3\n")
    pipeline.run("bronze")
    first = pipeline.run("silver") if job == "silver" else None
    table = f"{job}.orders"
    before = (pipeline.version(table), pipeline.version(f"quarantine.{job}_orders"), pipeline.rows(table))
    events = pipeline.rows("ops.runs", "event", "job", "batch")
    replay_last_batch(pipeline, job)
    again = pipeline.run(job)
    assert again.batches == 1
    assert first is None or again.rows == first.rows
    assert (pipeline.version(table), pipeline.version(f"quarantine.{job}_orders"), pipeline.rows(table)) == before
    assert sorted([*events, ("run", job, None)], key=repr) == pipeline.rows("ops.runs", "event", "job", "batch")


def test_a_batch_that_was_committed_and_never_told_to_the_ledger_is_told_by_the_next_run(pipeline, monkeypatch):
    pipeline.land("orders/1.csv", "id,amount,at\n1,10,2026-01-01\n2,20,2026-01-01\n3\n")
    monkeypatch.setattr("lakehouse.runtime.journal.record", killed_in_the_ledger)
    with pytest.raises(LakehouseError, match="killed"):
        pipeline.run("bronze")
    monkeypatch.undo()
    assert pipeline.version("ops.runs") is None
    for _ in range(2):  # once, however often it is run
        assert pipeline.run("bronze").batches == 0
        (row,) = pipeline.frame("ops.runs").where("event = 'batch'").collect()
        assert (row.status, row.batch, row.read, row.quarantined, row.inserted, row.version) == (
            "replayed",
            0,
            3,
            1,
            2,
            1,
        )


def killed_in_the_ledger(*_, **__):
    message = "killed"
    raise RuntimeError(message)


@pytest.fixture
def killed_before_the_target(monkeypatch):
    """The process ends after the quarantine's commit, for as long as the fixture's monkeypatch is not undone."""

    def killed(*_, **__):
        message = "killed"
        raise RuntimeError(message)

    monkeypatch.setattr("lakehouse.write.commit.Plan.commit", killed)
    return monkeypatch


def test_a_crash_between_quarantine_and_target_puts_no_row_aside_twice(pipeline, killed_before_the_target):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01"), ("2", "bad", "2026-01-01")])
    with pytest.raises(LakehouseError, match="killed"):
        pipeline.run("silver")
    aside = pipeline.rows("quarantine.silver_orders", "record")
    killed_before_the_target.undo()
    again = pipeline.run("silver")
    assert (again.rows.read, again.rows.quarantined, again.rows.inserted) == (2, 1, 1)
    assert pipeline.rows("quarantine.silver_orders", "record") == aside
    assert [row[0] for row in pipeline.rows("silver.orders", "id")] == [1]


def test_a_column_that_the_table_lacks_is_found_before_anything_is_committed(pipeline):
    pipeline.put("silver.orders", "id bigint, amount decimal(12,2), at timestamp", [])
    pipeline.put(
        "bronze.orders", f"{ROW}, extra string", [("3", "10", "2026-01-01", "x"), ("4", "bad", "2026-01-01", "y")]
    )
    with pytest.raises(SchemaDriftError, match="extra"):
        pipeline.run("silver")
    assert pipeline.version("quarantine.silver_orders") is None


def broken_after_the_first_count(orders):  # noqa: ARG001 -- its name is the source
    message = "out of luck"
    raise RuntimeError(message)


def test_a_failed_batch_is_run_again_whole_and_the_ledger_says_why(pipeline):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01")])
    with pytest.raises(TransformError, match="RuntimeError: out of luck"):
        pipeline.run("silver", transform=broken_after_the_first_count)
    assert ("run", "failed", "TRANSFORM_FAILED") in pipeline.rows("ops.runs", "event", "status", "error_code")
    assert pipeline.run("silver").rows.inserted == 1


def test_events_in_any_order_and_cut_end_in_the_same_table(pipeline):
    events = [
        (str(key), str(second), f"2026-01-01T00:00:{second:02d}Z") for key in (1, 2, 3) for second in (5, 1, 9, 3)
    ]
    for part in (events[7:], events[2:9], events):
        pipeline.put("bronze.orders", ROW, part)
        pipeline.run("silver")
    expected = [(key, "9.00") for key in (1, 2, 3)]
    assert [(row[0], str(row[1])) for row in pipeline.rows("silver.orders", "id", "amount")] == expected


def test_a_late_file_with_an_old_time_is_read_and_a_batch_holds_at_most_max_files(workshop):
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", max_files: 2}'))
    for number in range(3):
        workshop.land(f"orders/{number}.csv", f"id\n{number}\n")
    assert workshop.run("bronze").batches == 2
    late = workshop.land("orders/late.csv", "id\n9\n")
    os.utime(late, (1_000_000_000, 1_000_000_000))
    assert workshop.run("bronze").rows.inserted == 1


def test_a_zero_byte_file_and_a_broken_one_lose_nothing_beside_them(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/empty.csv", "")
    workshop.land("orders/broken.csv.gz", b"\x1f\x8b\x08\x00not really")
    workshop.land("orders/good.csv", "id\n1\n")
    result = workshop.run("bronze")
    assert (result.rows.read, result.rows.accepted, result.rows.quarantined) == (3, 1, 2)
    codes = workshop.rows("quarantine.bronze_orders", "code")
    assert [row[0] for row in codes] == ["FILE_EMPTY", "FILE_UNREADABLE"]
    assert workshop.run("bronze").batches == 0


def test_a_first_batch_of_nothing_but_broken_files_is_accounted_for(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/empty.csv", "")
    result = workshop.run("bronze")
    assert (result.rows.read, result.rows.quarantined, result.target.version) == (1, 1, None)
    workshop.land("orders/good.csv", "id\n1\n")
    assert workshop.run("bronze").rows.inserted == 1


def test_an_unreadable_file_fails_the_run_by_name_where_the_job_says_so(workshop):
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", on_unreadable: fail}'))
    workshop.land("orders/bad.csv", b"id\n\xe9\n")
    workshop.land("orders/good.csv", "id\n1\n")
    with pytest.raises(FileUnreadableError, match=r"bad\.csv: FILE_ENCODING"):
        workshop.run("bronze")
    (workshop.landing / "orders" / "bad.csv").write_text("id\n2\n")
    assert workshop.run("bronze").rows.inserted == 2


def test_a_rewritten_file_is_an_error_or_left_as_it_was_read(workshop):
    workshop.job("bronze", BRONZE)
    path = workshop.land("orders/1.csv", "id\n1\n")
    workshop.run("bronze")
    path.write_text("id\n1\n2\n")
    os.utime(path, (2_000_000_000, 2_000_000_000))
    with pytest.raises(FileChangedError, match=r"1\.csv"):
        workshop.run("bronze")
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", on_changed: ignore}'))
    assert workshop.run("bronze").batches == 0


def test_a_touched_file_is_no_change_and_one_may_be_accepted_by_name(workshop):
    workshop.job("bronze", BRONZE)
    path = workshop.land("orders/1.csv", "id\n1\n")
    other = workshop.land("orders/2.csv", "id\n2\n")
    workshop.run("bronze")
    for later in (2_000_000_000, 2_000_000_001):
        os.utime(path, (later, later))
        assert workshop.run("bronze").batches == 0
    # of the same length
    path.write_text("id\n3\n")
    os.utime(path, (2_000_000_002, 2_000_000_002))
    other.write_text("id\n4\n")
    os.utime(other, (2_000_000_002, 2_000_000_002))
    with pytest.raises(FileChangedError, match="2 files were rewritten"):
        workshop.run("bronze")
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", accept_changed: [1.csv]}'))
    with pytest.raises(FileChangedError, match=r"1 files were rewritten .*2\.csv"):
        workshop.run("bronze")
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", accept_changed: [1.csv, 2.csv]}'))
    assert workshop.run("bronze").batches == 0
    assert [row[0] for row in workshop.rows("bronze.orders", "id")] == ["1", "2"]


def test_a_file_that_grew_after_it_was_announced_is_read_as_it_is_then_and_is_no_change_later(workshop, monkeypatch):
    workshop.job(
        "x", 'sources:\n  s: {kind: files, path: "${param:landing}/in"}\nwrite: {table: bronze.t, mode: append}\n'
    )
    path = workshop.land("in/1.csv", "k\na\n")
    noted = Checkpoint.files

    def older(checkpoint, spark):
        # Spark lists a folder, notes what it found, and reads afterwards
        return {one: (modified - 1000, batch) for one, (modified, batch) in noted(checkpoint, spark).items()}

    monkeypatch.setattr(Checkpoint, "files", older)
    assert workshop.run("x").rows.read == 1
    assert workshop.run("x").rows.read == 0
    path.write_text("k\na\nb\n")
    os.utime(path, (1, 1))
    with pytest.raises(FileChangedError):
        workshop.run("x")


def test_a_missing_folder_an_empty_one_and_a_missing_table_are_typed_errors(pipeline):
    with pytest.raises(SourceNotFoundError):
        pipeline.run("bronze")
    (pipeline.landing / "orders").mkdir(parents=True)
    with pytest.raises(SourceEmptyError):
        pipeline.run("bronze")
    with pytest.raises(SourceNotFoundError, match=r"bronze\.orders"):
        pipeline.run("silver")
    with pytest.raises(SourceNotFoundError, match=r"silver\.orders"):
        pipeline.run("gold")


def test_something_else_in_the_place_of_a_table_is_a_typed_error(pipeline):
    for table in ("bronze/orders", "silver/orders"):
        (pipeline.folder / table).mkdir(parents=True)
        (pipeline.folder / table / "mine.txt").write_text("not a table")
    pipeline.land("orders/1.csv", "id,amount,at\n1,10,2026-01-01\n")
    for job in ("bronze", "gold"):
        with pytest.raises(NotDeltaError):
            pipeline.run(job)
    assert (pipeline.folder / "silver/orders/mine.txt").read_text() == "not a table"


def test_a_lake_that_cannot_be_written_is_a_typed_error(workshop):
    workshop.job("bronze", BRONZE)
    workshop.folder.write_text("a file, not a folder")
    with pytest.raises(LakeNotWritableError):
        execute_and_raise(workshop, "bronze")


def execute_and_raise(workshop, job):
    work = prepare(job, lake=str(workshop.folder), root=workshop.project)
    result = execute(work, spark=workshop.spark)
    assert result.error is not None
    raise result.error


def test_a_checkpoint_of_another_source_or_target_is_refused(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    workshop.land("others/1.csv", "id\n1\n")
    workshop.run("bronze")
    workshop.job("bronze", BRONZE.replace("/orders", "/others"))
    with pytest.raises(CheckpointError, match="others"):
        workshop.run("bronze")


def test_a_new_checkpoint_starts_from_the_beginning_and_is_not_taken_for_a_replay(pipeline):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01")])
    pipeline.run("silver")
    shutil.rmtree(pipeline.folder / "_checkpoints" / "silver")
    pipeline.put("bronze.orders", ROW, [("2", "20", "2026-01-01")])
    again = pipeline.run("silver")
    assert (again.rows.read, again.rows.unchanged, again.rows.inserted) == (2, 1, 1)


def test_a_table_that_was_changed_by_more_than_appends_cannot_be_streamed(pipeline):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01")])
    pipeline.run("silver")
    pipeline.spark.sql(f"DELETE FROM delta.`{pipeline.folder}/bronze/orders`")
    with pytest.raises(NotAppendOnlyError):
        pipeline.run("silver")


def test_two_runners_of_one_job_do_not_meet(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    work = prepare(
        "bronze", lake=str(workshop.folder), params={"landing": str(workshop.landing)}, root=workshop.project
    )
    work.lake.writable()
    with held(work.lake, "bronze"), pytest.raises(LockedError, match="pid"):
        workshop.run("bronze")
    assert workshop.run("bronze").rows.inserted == 1


HOLD = """
import fcntl, sys
with open(sys.argv[1], "a") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("held")
    print("holding", flush=True)
    sys.stdin.read()
"""


def test_a_runner_waits_for_the_java_of_another_to_end_and_is_refused_while_it_goes_on(workshop, monkeypatch):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    assert workshop.run("bronze").rows.inserted == 1
    path = workshop.folder / "_checkpoints" / "bronze.lock.java"
    command = [sys.executable, "-c", HOLD, path]
    with held(Lake(str(workshop.folder)), "bronze", workshop.spark) as alone:
        assert alone
        assert subprocess.run(command, capture_output=True, check=False).stderr == b"held\n"
    with held(Lake(str(workshop.folder)), "bronze") as alone:
        assert not alone
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"holding\n"
        with monkeypatch.context() as patched:
            patched.setattr("lakehouse.runtime.lock.JAVA_ENDS_WITHIN", 0.3)
            with pytest.raises(LockedError, match="its Java has not"):
                workshop.run("bronze")
        threading.Timer(1, other.stdin.close).start()
        assert workshop.run("bronze").batches == 0


def test_only_the_first_batch_of_a_run_asks_delta_for_its_transactions(workshop):
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", max_files: 1}'))
    for name in "abc":
        workshop.land(f"orders/{name}.csv", "id\n1\n")
    assert workshop.run("bronze").batches == 3
    log = workshop.folder / "bronze" / "orders" / "_delta_log"
    told = ['"txn"' in log.joinpath(f"{version:020d}.json").read_text() for version in range(1, 4)]
    assert told == [True, False, False]


def test_batches_that_an_older_copy_of_a_checkpoint_brings_again_are_replays(workshop):
    workshop.job("bronze", BRONZE.replace('orders"}', 'orders", max_files: 1}'))
    workshop.land("orders/a.csv", "id\n1\n")
    workshop.run("bronze")
    checkpoint = workshop.folder / "_checkpoints" / "bronze"
    shutil.copytree(checkpoint, checkpoint.with_name("copy"))
    for name in "bcd":
        workshop.land(f"orders/{name}.csv", f"id\n{name}\n")
    assert workshop.run("bronze").batches == 3
    log = workshop.folder / "bronze" / "orders" / "_delta_log"
    for version in range(5, 115):  # what others may have committed since
        info = {"timestamp": 0, "operation": "Manual Update", "operationParameters": {}}
        (log / f"{version:020d}.json").write_text(json.dumps({"commitInfo": info}) + "\n")
    shutil.rmtree(checkpoint)
    checkpoint.with_name("copy").rename(checkpoint)
    workshop.land("orders/e.csv", "id\ne\n")
    again = workshop.run("bronze")
    assert (again.batches, again.rows.inserted) == (4, 4)
    assert sorted(row[0] for row in workshop.rows("bronze.orders", "id")) == ["1", "b", "c", "d", "e"]


def test_a_broken_fail_rule_writes_nothing_and_is_a_quality_gate(workshop):
    workshop.job("silver", SILVER.replace("amount > 0}", "amount > 0, on_fail: fail}"), SILVER_CODE)
    workshop.put(
        "bronze.orders", "id string, amount string, at string", [("1", "-1", "2026-01-01"), ("x", "1", "2026-01-01")]
    )
    with pytest.raises(QualityGateError, match="positive") as caught:
        workshop.run("silver")
    assert caught.value.exit_code == 3
    assert workshop.version("silver.orders") is None
    assert workshop.version("quarantine.silver_orders") is None


def test_a_null_key_made_by_the_transform_is_rejected_and_kept(workshop):
    code = (
        'def transform(orders: DataFrame) -> DataFrame:\n    return orders.withColumn("id", F.nullif("id", F.lit(2)))\n'
    )
    workshop.job("silver", SILVER, code)
    workshop.put(
        "bronze.orders", "id string, amount string, at string", [("1", "1", "2026-01-01"), ("2", "1", "2026-01-01")]
    )
    result = workshop.run("silver")
    assert (result.rows.produced, result.rows.inserted, result.rows.rejected) == (2, 1, 1)
    ((stage, code, record),) = workshop.rows("quarantine.silver_orders", "stage", "code", "record")
    assert (stage, code, json.loads(record)["id"]) == ("write", "NULL_KEY", None)


def test_a_static_source_is_read_at_one_version_for_the_batch_and_gold_skips_what_it_has_seen(pipeline):
    pipeline.put("silver.orders", "id bigint, amount decimal(12,2), at timestamp", [])
    first = pipeline.run("gold")
    assert (first.batches, first.rows.produced) == (1, 0)
    assert pipeline.version("gold.days") == 0
    pipeline.spark.sql(f"INSERT INTO delta.`{pipeline.folder}/silver/orders` VALUES (1, 5, timestamp'2026-01-01')")
    assert pipeline.run("gold").rows.inserted == 1
    assert pipeline.run("gold").batches == 0
    pipeline.job("gold", GOLD, GOLD_CODE.replace('F.sum("amount")', 'F.max("amount")'))
    changed = pipeline.run("gold")
    assert (changed.batches, changed.rows.unchanged) == (1, 1)


def test_full_refresh_rebuilds_beside_and_swaps_in_one_commit(pipeline):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01"), ("2", "20", "2026-01-01")])
    pipeline.run("silver")
    before = pipeline.version("silver.orders")
    half = SILVER.replace("rules:", "rules:\n        - {name: small, check: amount < 15, on_fail: drop}")
    pipeline.job("silver", half, SILVER_CODE)
    result = pipeline.run("silver", full_refresh=True)
    assert (result.rows.read, result.rows.dropped, result.rows.inserted) == (2, 1, 1)
    assert [row[0] for row in pipeline.rows("silver.orders", "id")] == [1]
    assert pipeline.version("silver.orders") == before + 1
    pipeline.put("bronze.orders", ROW, [("3", "3", "2026-01-01")])
    assert pipeline.run("silver").rows.read == 1


def test_a_swap_that_was_cut_short_is_finished_by_the_next_run(pipeline, monkeypatch):
    from lakehouse.runtime import refresh

    pipeline.land("orders/1.csv", "id\n1\n")
    pipeline.run("bronze")
    finish = refresh.finish
    calls = []

    def cut(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            return finish(*arguments)
        message = "killed"
        raise KeyboardInterrupt(message)

    monkeypatch.setattr(refresh, "finish", cut)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run("bronze", full_refresh=True)
    monkeypatch.setattr(refresh, "finish", finish)
    pipeline.land("orders/2.csv", "id\n2\n")
    assert pipeline.run("bronze").rows.read == 1
    assert [row[0] for row in pipeline.rows("bronze.orders", "id")] == ["1", "2"]
    assert not (pipeline.folder / "_refresh" / "bronze").exists()


def test_the_sessions_settings_are_as_they_were_after_a_run(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/1.csv", "id\n1\n")
    workshop.spark.conf.set("spark.sql.session.timeZone", "Asia/Tokyo")
    try:
        workshop.run("bronze")
        assert workshop.spark.conf.get("spark.sql.session.timeZone") == "Asia/Tokyo"
        assert workshop.spark.conf.get("spark.databricks.delta.write.txnVersion", None) is None
    finally:
        workshop.spark.conf.set("spark.sql.session.timeZone", "UTC")


def test_every_batch_and_run_is_in_the_ledger_and_both_balances_hold(pipeline):
    pipeline.put("bronze.orders", ROW, [("1", "10", "2026-01-01"), ("2", "bad", "2026-01-01")])
    result = pipeline.run("silver")
    batch, run = pipeline.frame("ops.runs").orderBy("event").collect()
    assert (batch.event, batch.status, batch.batch, batch.version) == ("batch", "done", 0, result.target.version)
    assert json.loads(batch.inputs)["orders"]["table"] == "bronze.orders"
    assert set(batch.seconds) >= {"read", "check", "transform", "write"}
    assert (run.event, run.run_id, run.read, run.quarantined) == ("run", result.run_id, 2, 1)
    assert batch.read == batch.accepted + batch.quarantined + batch.dropped


def test_a_transform_that_returns_no_frame_is_a_typed_error(workshop):
    workshop.job("bronze", BRONZE, "def transform(orders: DataFrame) -> DataFrame:\n    return None\n")
    workshop.land("orders/1.csv", "id\n1\n")
    with pytest.raises(TransformError, match="NoneType"):
        workshop.run("bronze")


def test_a_reserved_name_made_by_the_transform_is_a_config_error(workshop):
    workshop.job(
        "bronze",
        BRONZE,
        'def transform(orders: DataFrame) -> DataFrame:\n    return orders.withColumn("__x", F.lit(1))\n',
    )
    workshop.land("orders/1.csv", "id\n1\n")
    with pytest.raises(ConfigError, match="__x"):
        workshop.run("bronze")


def test_an_imbalance_is_never_retried_away():
    assert not ImbalanceError.retryable
    assert issubclass(ImbalanceError, LakehouseError)


def test_a_batch_run_again_under_other_rules_loses_no_row(pipeline, killed_before_the_target):
    pipeline.put("bronze.orders", ROW, [("1", "5", "2026-01-01"), ("2", "50", "2026-01-01")])
    pipeline.job("silver", SILVER.replace("amount > 0", "amount < 10"), SILVER_CODE)
    with pytest.raises(LakehouseError, match="killed"):
        pipeline.run("silver")
    assert [json.loads(row[0])["id"] for row in pipeline.rows("quarantine.silver_orders", "record")] == ["2"]
    killed_before_the_target.undo()
    pipeline.job("silver", SILVER.replace("amount > 0", "amount > 10"), SILVER_CODE)
    result = pipeline.run("silver")
    assert (result.rows.read, result.rows.quarantined, result.rows.inserted) == (2, 1, 1)
    assert [row[0] for row in pipeline.rows("silver.orders", "id")] == [2]
    assert [json.loads(row[0])["id"] for row in pipeline.rows("quarantine.silver_orders", "record")] == ["1"]


def test_an_older_copy_of_a_checkpoint_is_refused_before_rows_are_lost(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/a.csv", "id\n1\n")
    workshop.run("bronze")
    checkpoint = workshop.folder / "_checkpoints" / "bronze"
    shutil.copytree(checkpoint, checkpoint.with_name("copy"))
    workshop.land("orders/b.csv", "id\n2\n")
    workshop.run("bronze")
    shutil.rmtree(checkpoint)
    checkpoint.with_name("copy").rename(checkpoint)
    (workshop.landing / "orders" / "b.csv").unlink()
    workshop.land("orders/c.csv", "id\n3\n")
    with pytest.raises(CheckpointError, match="other input"):
        workshop.run("bronze")


def test_a_target_that_vanished_under_its_checkpoint_is_an_error(workshop):
    workshop.job("bronze", BRONZE)
    workshop.land("orders/a.csv", "id\n1\n")
    workshop.run("bronze")
    shutil.rmtree(workshop.folder / "bronze" / "orders")
    with pytest.raises(CheckpointError, match="not there any more"):
        workshop.run("bronze")
    assert workshop.run("bronze", full_refresh=True).rows.inserted == 1


def test_a_secret_that_spark_does_not_take_is_not_shown(workshop, monkeypatch):
    workshop.job("bronze", BRONZE)
    env = workshop.project / "conf" / "env" / "local.yaml"
    env.write_text("lake: lake\nparams: {landing: landing}\nspark: {spark.sql.shuffle.partitions: '${env:HUSH}'}\n")
    monkeypatch.setenv("HUSH", "s3cret")
    workshop.land("orders/a.csv", "id\n1\n")
    with pytest.raises(ConfigError) as caught:
        workshop.run("bronze")
    assert "s3cret" not in str(caught.value)


def test_runs_that_end_together_make_one_ledger(lake):
    ledger, failures = Lake(str(lake.folder)).ledger, []

    def end(number: int) -> None:
        try:
            Journal(lake.spark, ledger).add(
                Event("run", f"job{number}", "r", "done", datetime.now(UTC)), committed=False
            )
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=end, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert lake.rows("ops.runs", "job") == [(f"job{number}",) for number in range(4)]
