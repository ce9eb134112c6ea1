"""A job is held after failures in a row or for a batch that is too much, until somebody lets it go on."""

from __future__ import annotations

import json
from datetime import datetime
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from lakehouse.cli import cli
from lakehouse.errors import (
    ConfigError,
    HeldError,
    JavaMissingError,
    LockedError,
    QualityGateError,
    SourceUnavailableError,
    StorageFullError,
    TransformError,
    WriteConflictError,
)
from lakehouse.lake.place import Lake
from lakehouse.runtime import breaker, journal
from lakehouse.runtime.breaker import Hold, Standing, after, noted, resume, standing, told_by
from lakehouse.runtime.maintain import maintain, plan
from lakehouse.runtime.runner import execute
from lakehouse.runtime.show import shown
from lakehouse.runtime.workplace import prepare
from lakehouse.spec.failures import NEVER, Breaker

LIMITS = Breaker(max_failures=3)


def test_the_last_of_so_many_failures_in_a_row_holds_the_job():
    now = Standing()
    for number in range(3):
        assert now.hold is None
        now = after(now, TransformError(f"failure {number}"), LIMITS, f"run{number}")
    assert (now.failures, now.hold.run_id, now.hold.batch) == (3, "run2", None)
    assert "3 runs failed one after the other, the last by TRANSFORM_FAILED: failure 2" in now.hold.why


def test_a_good_run_begins_the_count_anew_and_no_limit_holds_nothing():
    failed = Standing(failures=2, let_through=("stream", 3))
    assert after(failed, None, LIMITS, "run") == Standing()
    assert after(failed, TransformError("x"), NEVER, "run") == Standing(3, None, ("stream", 3))


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (TransformError("x"), True),
        (QualityGateError("x"), True),
        (StorageFullError("x"), True),
        (WriteConflictError("x"), False),
        (SourceUnavailableError("x"), False),
        (LockedError("x"), False),
        (ConfigError("x"), False),
        (JavaMissingError("x"), False),
    ],
    ids=lambda value: getattr(value, "code", str(value)),
)
def test_what_may_pass_and_what_is_not_the_jobs_fault_is_not_counted(error, counts):
    assert after(Standing(), error, LIMITS, "run").failures == counts
    row = SimpleNamespace(event="run", inputs="{}", error_code=error.code)
    assert told_by([row]).failures == counts


def test_a_refused_run_leaves_the_hold_as_it_was():
    held = Standing(2, Hold("2026-01-01 00:00:00", "why", "run0", ("stream", 4)))
    assert after(held, HeldError("held"), LIMITS, "run1") == held


def test_where_a_job_stands_goes_through_a_note_unchanged():
    for now in (
        Standing(),
        Standing(1, Hold("at", "why", "run", ("s", 1)), ("s", 0)),
        Standing(2, Hold("at", "why", "r")),
    ):
        assert Standing.of(json.loads(json.dumps(noted("job", now)))) == now


def test_what_the_ledger_tells_is_what_the_notes_said():
    at = datetime(2026, 1, 1)

    def row(event, code=None, **inputs):
        told = json.dumps(inputs)
        return SimpleNamespace(event=event, inputs=told, error_code=code, error_message="why", run_id="r", ended_at=at)

    failed, held = row("run", "TRANSFORM_FAILED"), row("held", "HELD", batch=["s", 1])
    hold = Hold("2026-01-01 00:00:00", "why", "r", ("s", 1))
    assert told_by([failed, row("run"), failed, failed]) == Standing(2)
    assert told_by([failed, held, row("run", "HELD"), row("run", "HELD")]) == Standing(1, hold)
    assert told_by([held, row("resumed", let_through=["s", 1])]) == Standing(let_through=("s", 1))
    assert told_by([held, row("resumed"), failed]) == Standing(1)


JOB = """
breaker: {BREAKER}
sources:
  orders: {kind: files, path: "${param:landing}/orders", contract: {columns: {id: string not null, v: int, at: int}}}
write: {table: silver.orders, mode: scd1, keys: id, sequence_by: at}
"""


@pytest.fixture
def place(workshop):
    """The job in its place under a breaker; ``run`` runs it."""

    def work(limits, transform=None):
        workshop.job("orders", JOB.replace("BREAKER", limits))
        params = {"landing": str(workshop.landing)}
        return prepare("orders", lake=str(workshop.folder), params=params, transform=transform, root=workshop.project)

    return work


def run(workshop, work):
    result = execute(work, spark=workshop.spark)
    return result.error.code if result.error else result.status


def told(workshop):
    """The events of the ledger, from the oldest, with what went wrong."""
    rows = workshop.frame("ops.runs").orderBy("ended_at", "event").select("event", "error_code").collect()
    return [tuple(row) for row in rows]


def in_project(workshop, monkeypatch, *args):
    """A command of the project, in this process."""
    monkeypatch.chdir(workshop.project)
    monkeypatch.setattr("lakehouse.runtime.breaker.start", lambda *_: workshop.spark)
    params = ["--param", f"landing={workshop.landing}"]
    return CliRunner().invoke(cli, [*args, "--lake", str(workshop.folder), *params])


def test_a_job_that_fails_again_and_again_is_held_until_it_is_resumed(workshop, place, monkeypatch):
    read = []

    def broken(orders):
        read.append(orders)
        raise ValueError("no")

    workshop.land("orders/1.csv", "id,v,at\na,1,1\n")
    assert [run(workshop, place("max_failures: 2", broken)) for _ in range(2)] == ["TRANSFORM_FAILED"] * 2
    assert run(workshop, place("max_failures: 2", broken)) == "HELD"
    assert len(read) == 2
    ledger = Lake(str(workshop.folder)).ledger
    now = standing(workshop.spark, ledger, "orders")
    assert now.hold.why.startswith("2 runs failed one after the other, the last by TRANSFORM_FAILED")
    assert told_by(breaker._rows(workshop.spark, ledger, "orders")).hold.why == now.hold.why
    assert standing(workshop.spark, ledger, "another") == Standing()
    shows = in_project(workshop, monkeypatch, "status", "orders")
    assert f"orders is held since {now.hold.since}, by run {now.hold.run_id}: 2 runs failed" in shows.output
    with pytest.raises(ConfigError, match="no batch is held"):
        resume(place("max_failures: 2"), let_through=True, spark=workshop.spark)
    with monkeypatch.context() as killed:
        killed.setattr(journal, "record", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            resume(place("max_failures: 2"), spark=workshop.spark)
    assert breaker.hold_of(place("max_failures: 2")) == now.hold
    first, second = (in_project(workshop, monkeypatch, "resume", "orders", "--json") for _ in range(2))
    assert (first.exit_code, json.loads(first.output.splitlines()[-1])["status"]) == (0, "resumed")
    assert (second.exit_code, json.loads(second.output.splitlines()[-1])["status"]) == (0, "not held")
    assert run(workshop, place("max_failures: 2")) == "done"
    assert [event for event, _ in told(workshop)] == ["run", "held", "run", "run", "resumed", "batch", "run"]


def test_a_batch_that_is_put_aside_for_the_most_part_is_held_with_nothing_of_it_written(workshop, place):
    limits = "max_quarantine_fraction: 0.5"
    workshop.land("orders/1.csv", "id,v,at\na,1,1\nb,x,1\n")
    assert run(workshop, place(limits)) == "done"
    workshop.land("orders/2.csv", "id,v,at\nc,x,1\nd,x,1\ne,1,1\n")
    before = workshop.version("silver.orders"), workshop.version("quarantine.silver_orders")
    work = place(limits)
    result = execute(work, spark=workshop.spark)
    assert isinstance(result.error, HeldError)
    assert "2 of its 3 rows would be put aside, more than max_quarantine_fraction: 0.5" in result.error.message
    assert (workshop.version("silver.orders"), workshop.version("quarantine.silver_orders")) == before
    assert any(
        line.startswith("orders is held since") for line in shown("silver.orders", work.lake, spark=workshop.spark)
    )
    # resumed, it is judged again; let through, it is taken once
    assert resume(work, spark=workshop.spark).batch[1] == 1
    assert run(workshop, place(limits)) == "HELD"
    resume(work, let_through=True, spark=workshop.spark)
    assert run(workshop, place(limits)) == "done"
    assert workshop.rows("silver.orders", "id") == [("a",), ("e",)]
    assert len(workshop.rows("quarantine.silver_orders")) == 3
    assert standing(workshop.spark, work.lake.ledger, "orders") == Standing()


def test_a_batch_that_changes_too_much_of_the_table_is_held_also_where_the_ledger_was_not_told(
    workshop, place, monkeypatch
):
    limits = "max_change_fraction: 0.5"
    workshop.land("orders/1.csv", "id,v,at\na,1,1\nb,1,1\nc,1,1\n")
    assert run(workshop, place(limits)) == "done"
    workshop.land("orders/3.csv", "id,v,at\na,3,3\nb,3,3\nd,3,3\n")
    with monkeypatch.context() as killed:
        # what a kill between the trip and the ledger leaves: nothing
        killed.setattr(journal, "record", lambda *_, **__: 1 / 0)
        assert run(workshop, place(limits)) == "HELD"
    assert standing(workshop.spark, Lake(str(workshop.folder)).ledger, "orders") == Standing()
    work = place(limits)
    result = execute(work, spark=workshop.spark)
    assert "2 of the 3 rows of silver.orders would be updated or deleted" in result.error.message
    assert workshop.rows("silver.orders", "id", "v") == [("a", 1), ("b", 1), ("c", 1)]
    # the fix may as well be another limit
    resume(work, spark=workshop.spark)
    assert run(workshop, place("max_change_fraction: 0.8")) == "done"
    assert workshop.rows("silver.orders", "id", "v") == [("a", 3), ("b", 3), ("c", 1), ("d", 3)]


def test_a_lake_on_s3_is_refused_where_two_writers_may_overwrite_each_other(spark, monkeypatch):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    for lake in (Lake("s3a://bucket/lake"), Lake("s3://bucket/lake")):
        with pytest.raises(ConfigError, match="overwrite each other's commits"):
            lake.guarded(spark)
    for lake in (Lake("/lake"), Lake("abfss://c@a/lake"), Lake("s3a://bucket/lake", single_writer=True)):
        lake.guarded(spark)
    setting = "spark.delta.logStore.s3a.impl"
    spark.conf.set(setting, "io.delta.storage.S3DynamoDBLogStore")
    try:
        Lake("s3a://bucket/lake").guarded(spark)
    finally:
        spark.conf.unset(setting)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    Lake("s3a://bucket/lake").guarded(spark)


def test_every_command_that_writes_asks_that_before_it_touches_the_lake(workshop, place, monkeypatch):
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    place("max_failures: 2")
    (workshop.project / "conf" / "env" / "local.yaml").write_text(
        "lake: s3a://bucket/lake\nparams: {landing: landing}\n"
    )
    work = prepare("orders", root=workshop.project)
    result = execute(work, spark=workshop.spark)
    assert isinstance(result.error, ConfigError)
    assert "single_writer: true" in result.error.hint
    with pytest.raises(ConfigError, match="overwrite each other"):
        resume(work, spark=workshop.spark)
    with pytest.raises(ConfigError, match="overwrite each other"):
        maintain([], plan(), root=workshop.project, spark=workshop.spark)
    (workshop.project / "conf" / "env" / "local.yaml").write_text(
        "lake: s3a://bucket/lake\nsingle_writer: true\nparams: {landing: landing}\n"
    )
    prepare("orders", root=workshop.project).lake.guarded(workshop.spark)
