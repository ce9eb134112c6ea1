"""A run that is undone: the lake is as if it had never been, and what it read comes again."""

from __future__ import annotations

import pytest

from lakehouse.recovery.undo import undo

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
    return undo(run_id, lake=str(workshop.folder), root=workshop.project, spark=workshop.spark, **options)


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
    assert read(workshop.folder / "silver" / "orders", "id, at" if mode == "append" else "id, amount") == LAST[mode]
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
    wrong = ran(chain, "b", "id\n2\n")
    ran(chain, "c", "id\n4\nbad\n")
    with pytest.raises(BuiltUponError, match="later runs build on") as caught:
        undone(chain, wrong[0])
    assert all(run in caught.value.message for run in wrong[1:])
    planned = undone(chain, wrong[0], later=True, dry_run=True)
    assert [(step.job, len(step.runs), step.batch) for step in planned.steps] == [
        ("gold", 2, None),
        ("silver", 2, 0),
        ("bronze", 2, 0),
    ]
    assert chain.rows("gold.total") == [(7,)]
    undone(chain, wrong[0], later=True)
    assert [chain.rows(table, *columns) for table, *columns in SHOWN] == [[("1",)], [(1,)], [(1,)], []]
    assert undone(chain, wrong[0]).steps == ()
    (chain.landing / "orders" / "b.csv").unlink()
    for job in CHAIN:
        chain.run(job)
    assert [chain.rows(table, *columns) for table, *columns in SHOWN] == [
        [("1",), ("4",), ("bad",)],
        [(1,), (4,)],
        [(5,)],
        [("NULL_VALUE",)] if False else [("CAST",)],
    ]


SHOWN = [("bronze.orders", "id"), ("silver.orders", "id"), ("gold.total",), ("quarantine.silver_orders", "code")]
