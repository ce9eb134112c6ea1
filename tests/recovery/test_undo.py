"""A run that is undone: the lake is as if it had never been, and what it read comes again."""

from __future__ import annotations

import shutil

import pytest

from lakehouse.errors import BuiltUponError, RecoveryError
from lakehouse.recovery.recover import recover
from lakehouse.recovery.undo import undo
from lakehouse.runtime.requeue import requeue
from lakehouse.runtime.workplace import prepare

pytestmark = pytest.mark.crash

SOURCE = """
sources:
  orders:
    kind: table
    table: bronze.orders
    stream: true
    contract: {columns: {id: bigint not null, amount: bigint, at: bigint not null}}
"""
WRITES = {
    "append": "write: {table: silver.orders, mode: append}",
    "scd1": "write: {table: silver.orders, mode: scd1, keys: id, sequence_by: at, apply_as_deletes: amount < 0}",
    "scd2": "write: {table: silver.orders, mode: scd2, keys: id, sequence_by: at, apply_as_deletes: amount < 0}",
}
ROW = "id string, amount string, at string"
FIRST = [("1", "10", "1"), ("2", "20", "3"), ("bad", "1", "1")]
SECOND = [("1", "-1", "4"), ("3", "30", "2"), ("worse", "1", "1")]
# older than what the second brought: only what is remembered of a deletion tells that they are
THIRD = [("1", "11", "2"), ("2", "-1", "4"), ("worst", "1", "1")]
LAST = {
    "append": [(1, 1), (1, 2), (1, 4), (2, 3), (2, 4), (3, 2)],
    "scd1": [(3, 30)],
    "scd2": [(1, 10), (1, 11), (2, 20), (3, 30)],
}


def undone(workshop, run_id, **options):
    params = {"landing": str(workshop.landing)}
    where = {"lake": str(workshop.folder), "root": workshop.project, "params": params}
    return undo(run_id, spark=workshop.spark, **where, **options)


def state(read, workshop, columns):
    """What the lake shows and remembers, but for times, runs and checkpoints."""
    target = workshop.folder / "silver" / "orders"
    shown = [read(target, columns), read(workshop.folder / "quarantine" / "silver_orders", "record, code")]
    memory = target / "_auxiliary"
    return [*shown, read(memory, "_kind, _key.__k0, CAST(_event AS VARCHAR)") if memory.is_dir() else []]


@pytest.mark.parametrize("mode", WRITES)
def test_what_comes_after_an_undone_run_makes_the_lake_that_would_be_there_without_it(workshop, read, mode):
    columns = "CAST(COLUMNS(* EXCLUDE (_source)) AS VARCHAR)"
    workshop.job("silver", SOURCE + WRITES[mode])
    workshop.put("bronze.orders", ROW, FIRST)
    workshop.run("silver")
    before = state(read, workshop, columns)
    workshop.put("bronze.orders", ROW, SECOND)
    wrong = workshop.run("silver")
    after = state(read, workshop, columns)
    assert before != after
    undone(workshop, wrong.run_id)
    assert state(read, workshop, columns) == before
    again = workshop.run("silver")
    assert (again.rows.read, again.rows.quarantined) == (3, 1)
    assert state(read, workshop, columns) == after
    workshop.put("bronze.orders", ROW, THIRD)
    assert workshop.run("silver").rows.read == 3
    assert len(read(workshop.folder / "quarantine" / "silver_orders", "record")) == 3
    assert read(workshop.folder / "silver" / "orders", 'id, "at"' if mode == "append" else "id, amount") == LAST[mode]
    events = workshop.frame("ops.runs").where(f"run_id = '{wrong.run_id}'").select("event").collect()
    assert sorted(row.event for row in events) == ["batch", "run", "undo"]


BRONZE = """
sources:
  orders: {kind: files, path: "${param:landing}/orders"}
write: {table: bronze.orders, mode: append}
"""
SILVER = """
sources:
  orders: {kind: table, table: bronze.orders, stream: true, contract: {columns: {id: bigint not null}}}
write: {table: silver.orders, mode: append}
"""
GOLD = """
sources:
  orders: {kind: table, table: silver.orders}
write: {table: gold.total, mode: overwrite}
"""
GOLD_CODE = """
def transform(orders: DataFrame) -> DataFrame:
    return orders.agg(F.sum("id").alias("total"))
"""
CHAIN = ("bronze", "silver", "gold")


@pytest.fixture
def chain(workshop):
    """Three jobs, each of what the one before it made."""
    workshop.job("bronze", BRONZE)
    workshop.job("silver", SILVER)
    workshop.job("gold", GOLD, GOLD_CODE)
    return workshop


def ran(workshop, name, content):
    """The runs of all three after a file came."""
    workshop.land(f"orders/{name}.csv", content)
    return [workshop.run(job).run_id for job in CHAIN]


def test_a_run_that_others_build_on_is_undone_with_them_or_not_at_all(chain):
    ran(chain, "a", "id\n1\n")
    chain.land("orders/b.csv", "id\n2\n")
    chain.run("bronze")
    # silver reads the run before the wrong one and the wrong one in one batch
    wrong = ran(chain, "c", "id\n4\nbad\n")
    with pytest.raises(BuiltUponError, match="later runs build on") as caught:
        undone(chain, wrong[0])
    assert all(run in caught.value.message for run in wrong[1:])
    planned = undone(chain, wrong[0], later=True, dry_run=True)
    assert [(step.job, step.runs, step.batch) for step in planned.steps] == [
        ("gold", (wrong[2],), None),
        ("silver", (wrong[1],), 0),
        ("bronze", (wrong[0],), 1),
    ]
    assert chain.rows("gold.total") == [(7,)]
    undone(chain, wrong[0], later=True)
    assert shown(chain) == [["1", "2"], [1], [1], []]
    assert undone(chain, wrong[0]).steps == ()
    (chain.landing / "orders" / "c.csv").unlink()
    ran(chain, "d", "id\n8\nworse\n")
    assert shown(chain) == [["1", "2", "8", "worse"], [1, 2, 8], [11], ["CAST"]]


def shown(workshop):
    columns = {"bronze.orders": "id", "silver.orders": "id", "gold.total": "total", "quarantine.silver_orders": "code"}
    return [[row[0] for row in workshop.rows(table, column)] for table, column in columns.items()]


def test_an_undo_that_was_killed_anywhere_is_finished_by_the_next_run_and_recover_knows_of_it(chain, monkeypatch):
    chain.land("orders/first.csv", "id\nfirst\n")
    chain.run("bronze")
    points = ("runtime.setback._take_back", "runtime.setback._tell", "recovery.undo.decide")
    for point in points:
        chain.land(f"orders/{point}.csv", f"id\n{point}\nx,y\n")
        wrong = chain.run("bronze")
        with monkeypatch.context() as patched:
            patched.setattr(f"lakehouse.{point}", killed)
            with pytest.raises(RuntimeError, match="killed"):
                undone(chain, wrong.run_id)
        again = chain.run("bronze")
        # before it was decided there is nothing to be finished
        assert (again.batches, again.rows.read) == ((0, 0) if point.endswith("decide") else (1, 2)), point
        assert len(chain.rows("quarantine.bronze_orders", "record")) == len(chain.rows("bronze.orders", "id")) - 1
    expected = sorted((name,) for name in ("first", *points))
    assert chain.rows("bronze.orders", "id") == expected
    shutil.rmtree(chain.folder / "_checkpoints" / "bronze")
    work = prepare("bronze", lake=str(chain.folder), params={"landing": str(chain.landing)}, root=chain.project)
    assert recover(work, spark=chain.spark).batch == len(points)
    assert chain.run("bronze").batches == 0
    assert chain.rows("bronze.orders", "id") == expected


def killed(*_):
    message = "killed"
    raise RuntimeError(message)


def test_what_nobodys_run_changed_or_a_vacuum_took_is_not_undone_and_the_job_goes_on(chain):
    chain.land("orders/a.csv", "id\na\n")
    chain.run("bronze")
    chain.land("orders/b.csv", "id\nb\n")
    wrong = chain.run("bronze")
    table, files = f"delta.`{chain.folder}/bronze/orders`", list((chain.folder / "bronze" / "orders").glob("*.parquet"))
    chain.spark.sql(f"OPTIMIZE {table}")
    for file in files:  # what a vacuum does
        file.unlink()
    with pytest.raises(RecoveryError, match="files of it were vacuumed"):
        undone(chain, wrong.run_id)
    assert chain.run("bronze").batches == 0
    assert chain.rows("bronze.orders", "id") == [("a",), ("b",)]
    chain.spark.sql(f"DELETE FROM {table} WHERE id = 'a'")
    with pytest.raises(BuiltUponError, match="is of no job's run"):
        undone(chain, wrong.run_id, later=True)
    with pytest.raises(RecoveryError, match="no batch of a run nothing"):
        undone(chain, "nothing")


def test_a_requeue_that_is_undone_leaves_its_rows_open_and_they_can_be_requeued_again(workshop):
    ruled = SILVER.replace("not null}", "not null}, rules: [{name: small, check: id < 10}]")
    workshop.job("silver", ruled)
    workshop.put("bronze.orders", "id string", [("1",), ("20",)])
    workshop.run("silver")
    workshop.put("bronze.orders", "id string", [("3",), ("30",)])
    undone(workshop, workshop.run("silver").run_id)
    workshop.job("silver", SILVER)
    works = [prepare("silver", lake=str(workshop.folder), root=workshop.project)]
    for _ in range(2):
        report = requeue(works, spark=workshop.spark)
        assert [one.rows for one in report.found] == [1]
        assert workshop.rows("silver.orders", "id") == [(1,), (20,)]
        undone(workshop, report.runs[0].run_id)
        assert workshop.rows("silver.orders", "id") == [(1,)]
        assert workshop.rows("quarantine.silver_orders", "record", "outcome") == [('{"id":"20"}', None)]
        works = [prepare("silver", lake=str(workshop.folder), root=workshop.project)]
    report = requeue(works, spark=workshop.spark)
    # what was dealt with has expired: to undo it would leave the row nowhere
    quarantine = f"delta.`{workshop.folder}/quarantine/silver_orders`"
    workshop.spark.sql(f"DELETE FROM {quarantine} WHERE outcome = 'requeued'")
    with pytest.raises(RecoveryError, match="took up 1 rows of quarantine.silver_orders, of which 0 are still there"):
        undone(workshop, report.runs[0].run_id)
    assert workshop.run("silver").rows.read == 2
    assert workshop.rows("silver.orders", "id") == [(1,), (20,), (3,), (30,)]
